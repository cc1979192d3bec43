"""Settings: shown, and changed while the server runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from stretto.host.errors import BadRequestError, Fault, NotFoundError

from ..access import admins_may
from ..auth_switch import refuse_unguarded, use_settings
from ..routing import Call, Data, Reply, Route

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["ROUTES"]


def show_settings(call: Call) -> Reply:
    """Give every setting."""
    return Data(asdict(call.services.host.settings))


def change_settings(call: Call) -> Reply:
    """Change any subset of the settings and give them all; another `auth` revokes every token."""
    services, body = call.services, call.body()
    refuse_unguarded(services, body)
    misfits = partial(_misfits, services.host)
    return Data(asdict(services.settings.change(body, partial(use_settings, services), misfits)))


def _misfits(host: Host, given: Mapping[str, object]) -> Iterator[Fault]:
    """Find a model that is not here: every invocation that names none would be refused."""
    name = given.get("model")
    if isinstance(name, str):
        try:
            host.resolve_model(name, kinds=("diffusers", "checkpoint"))
        except (BadRequestError, NotFoundError) as error:
            yield Fault(field="model", message=str(error))


ROUTES = (
    Route("GET", "/api/settings", show_settings, admins_may("read", "System")),
    Route("POST", "/api/settings", change_settings, admins_may("update", "System")),
)
