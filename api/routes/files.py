"""Pictures by file name; public, as their names are unguessable."""

from __future__ import annotations

from ..access import ANYBODY
from ..resolver import served_file
from ..routing import Call, FileReply, RawReply, Reply, Route
from ..thumbnails import thumbnail

__all__ = ["ROUTES"]

PNG = "image/png"
# shown in the place of a picture that the safety checker withheld
WITHHELD = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512" viewBox="0 0 512 512">'
    b'<rect width="512" height="512" fill="#222"/>'
    b'<circle cx="256" cy="224" r="72" fill="none" stroke="#bbb" stroke-width="16"/>'
    b'<path d="M205 173 307 275" stroke="#bbb" stroke-width="16"/>'
    b'<text x="256" y="372" fill="#bbb" font-family="sans-serif" font-size="32" text-anchor="middle">'
    b"withheld</text></svg>"
)


def show_image(call: Call) -> Reply:
    """Give a finished picture."""
    return FileReply(path=served_file(call.services.folders.images, call.names["name"]), media_type=PNG)


def show_intermediate(call: Call) -> Reply:
    """Give a picture of an unfinished invocation."""
    path = served_file(call.services.folders.intermediates, call.names["name"])
    return FileReply(path=path, media_type=PNG, max_age_s=None)


def show_thumbnail(call: Call) -> Reply:
    """Give a finished picture 200 pixels high."""
    folders = call.services.folders
    picture = served_file(folders.images, call.names["name"])
    return FileReply(path=thumbnail(picture, folders.thumbnails), media_type=PNG)


def show_withheld(call: Call) -> Reply:
    """Give the picture that stands for `nsfw` in a list of images."""
    del call
    return RawReply(body=WITHHELD, media_type="image/svg+xml")


ROUTES = (
    Route("GET", "/api/invocation/images/<name:path>", show_image, ANYBODY),
    Route("GET", "/api/invocation/intermediates/<name:path>", show_intermediate, ANYBODY),
    Route("GET", "/api/invocation/thumbnails/<name:path>", show_thumbnail, ANYBODY),
    Route("GET", "/api/invocation/nsfw", show_withheld, ANYBODY),
)
