"""Settings: shown, and changed while the server runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial

from stretto.host.errors import BadRequestError, Fault, NotFoundError
from stretto.host.planning.safety import unchecked

from ..access import admins_may
from ..auth_switch import refuse_unguarded
from ..models import find_model
from ..routing import Call, Data, Reply, Route, Services

__all__ = ["ROUTES"]


def show_settings(call: Call) -> Reply:
    """Give every setting."""
    return Data(asdict(call.services.host.settings))


def change_settings(call: Call) -> Reply:
    """Change any subset of the settings and give them all; another `auth` revokes every token."""
    services, body = call.services, call.body()
    refuse_unguarded(services, body)
    misfits = partial(_misfits, services)
    return Data(asdict(services.settings.change(body, services.host.update_settings, misfits)))


def _misfits(services: Services, given: Mapping[str, object]) -> Iterator[Fault]:
    """Find a model that is not here, and a safety checker that is not: invocations would be refused."""
    yield from unchecked(given, services.folders)
    name = given.get("model")
    if isinstance(name, str) and find_model(services.store.records, name) is None:
        try:
            services.host.resolve_model(name, kinds=("diffusers", "checkpoint"))
        except (BadRequestError, NotFoundError) as error:
            yield Fault(field="model", message=str(error))


ROUTES = (
    Route("GET", "/api/settings", show_settings, admins_may("read", "System")),
    Route("POST", "/api/settings", change_settings, admins_may("update", "System")),
)
