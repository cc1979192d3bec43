"""Settings: shown, and changed while the server runs."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from ..access import admins_may
from ..auth_switch import refuse_unguarded
from ..misfits import find_misfits
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def show_settings(call: Call) -> Reply:
    """Give every setting."""
    return Data(asdict(call.services.host.settings))


def change_settings(call: Call) -> Reply:
    """Change any subset of the settings and give them all; another `auth` revokes every token."""
    services, body = call.services, call.body()
    refuse_unguarded(services, body)
    misfits = partial(find_misfits, services.host, services.store.records)
    settings = services.settings.change(body, services.host.update_settings, misfits)
    services.downloads.wake()  # more may run at once now
    return Data(asdict(settings))


ROUTES = (
    Route("GET", "/api/settings", show_settings, admins_may("read", "System")),
    Route("POST", "/api/settings", change_settings, admins_may("update", "System")),
)
