"""What CivitAI has, by the kind of weights."""

from __future__ import annotations

from ..civitai import Look, look_up
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]

_LOOK = Look()


def search_civitai(call: Call) -> Reply:
    """Give CivitAI's models of a kind (`query`, `page`, `sort`, `period`, `nsfw`, `allow_commercial_use`)."""
    settings = call.services.host.settings
    with _LOOK.place():
        return Data(look_up(settings.civitai_url, call.names["kind"], call.params, safe=settings.safe))


ROUTES = (Route("GET", "/api/civitai/<kind>", search_civitai),)
