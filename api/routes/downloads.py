"""Downloads into the model folders: asked for, listed and cancelled."""

from __future__ import annotations

from stretto.host.errors import BadRequestError

from ..access import admins_may
from ..downloads import form_of
from ..fields import shown
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def list_downloads(call: Call) -> Reply:
    """Give the caller's downloads since the start, and those that went on after it."""
    return Data(call.services.downloads.mine(call.user.id))


def start_download(call: Call) -> Reply:
    """Queue a download into a model folder and give it."""
    private = call.services.host.settings.allow_private_downloads
    return Data(call.services.downloads.add(call.user.id, form_of(call.body(), private=private)))


def cancel_download(call: Call) -> Reply:
    """End a download by its URL and throw away what came."""
    url = call.body().get("url")
    if not isinstance(url, str) or not url:
        raise BadRequestError(f"url: {shown(url)} is no URL; name the one that is downloaded")
    call.services.downloads.cancel(url, call.user)
    return Data(None)


ROUTES = (
    Route("GET", "/api/download", list_downloads),
    Route("POST", "/api/download", start_download, admins_may("create", "Download")),
    Route("POST", "/api/download/cancel", cancel_download, admins_may("delete", "Download")),
)
