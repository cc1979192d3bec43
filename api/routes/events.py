"""Watching an invocation."""

from __future__ import annotations

from functools import partial

from stretto.host.errors import BadRequestError, Fault, InvalidRequestError

from ..access import users_may
from ..engine_builds import find_build, row_now
from ..fields import shown
from ..routing import Call, Reply, Route, StreamReply
from ..streams import EVENTS_TYPE
from .invocations import ENTITY, found

__all__ = ["ROUTES"]

LAST = "Last-Event-ID"
MAX_DIGITS = 18
MEANT = {"true": True, "1": True, "false": False, "0": False, "": False}


def watch_invocation(call: Call) -> Reply:
    """Give an invocation's events as they come, until it is over; after `Last-Event-ID`, with `previews=true` all."""
    services, uuid = call.services, call.names["uuid"]
    after = _number(call.header(LAST) or "0")
    previews = _previews(call.params.get("previews", [""])[-1])
    build = find_build(services.host, uuid, call.user.scope)
    if build is not None:
        limit = services.host.settings.max_event_streams
        rows = partial(row_now, services.host, build)
        return StreamReply(services.streams.open_build(rows, after, limit=limit), EVENTS_TYPE)
    stream = services.streams.open(
        found(call, uuid),
        after,
        previews=previews,
        limit=services.host.settings.max_event_streams,
    )
    return StreamReply(stream, EVENTS_TYPE)


def _previews(text: str) -> bool:
    if text.lower() in MEANT:
        return MEANT[text.lower()]
    raise InvalidRequestError([Fault(field="previews", message=f"{shown(text)} is not true or false")])


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return int(text)
    raise BadRequestError(f"{LAST}: {shown(text)} is not the id of an event; they are whole numbers from 1")


ROUTES = (Route("GET", "/api/invocation/<uuid>/events", watch_invocation, users_may("read", ENTITY)),)
