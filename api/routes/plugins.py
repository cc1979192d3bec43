"""Plugins: shown, and switched, set and ordered while the server runs."""

from __future__ import annotations

from ..access import admins_may
from ..plugin_changes import change_plugin
from ..plugin_objects import plugin_object, row_of
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def list_plugins(call: Call) -> Reply:
    """Give one row a plugin, those that are off or broken too; files, reasons and settings are for administrators."""
    host = call.services.host
    return Data([row_of(host, row, whole=call.user.admin) for row in host.plugins()])


def show_plugin(call: Call) -> Reply:
    """Give all about one plugin; its settings, places and reasons are for administrators."""
    return Data(plugin_object(call.services.host, call.names["name"], whole=call.user.admin))


def update_plugin(call: Call) -> Reply:
    """Turn a plugin on or off, change its settings (null takes one out) or its place in the order, at once.

    Jobs that wait keep their plans. What cannot be leaves the plugins and their file as they were.
    """
    host, name = call.services.host, call.names["name"]
    change_plugin(host, name, call.body())
    return Data(plugin_object(host, name, whole=True))


ROUTES = (
    Route("GET", "/api/plugins", list_plugins),
    Route("GET", "/api/plugins/<name>", show_plugin),
    Route("PATCH", "/api/plugins/<name>", update_plugin, admins_may("update", "System")),
)
