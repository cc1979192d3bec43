"""Settings: shown, and changed while the server runs."""

from __future__ import annotations

from dataclasses import asdict

from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def show_settings(call: Call) -> Reply:
    """Give every setting."""
    return Data(asdict(call.services.host.settings))


def change_settings(call: Call) -> Reply:
    """Change any subset of the settings and give them all."""
    services = call.services
    return Data(asdict(services.settings.change(call.body(), services.host.update_settings)))


ROUTES = (
    Route("GET", "/api/settings", show_settings),
    Route("POST", "/api/settings", change_settings),
)
