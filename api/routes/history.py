"""History: every invocation that was kept, with its plan."""

from __future__ import annotations

from stretto.host.errors import NotFoundError

from ..history import HISTORY_COLUMNS, history
from ..listing import Listing, listing_of
from ..routing import Call, JsonReply, Reply, Route

__all__ = ["ROUTES"]

ENTITY = "DiffusionInvocation"


def list_history(call: Call) -> Reply:
    """Give the caller's history by limit, offset, sort, ilike and filter."""
    listing = listing_of(call.params, HISTORY_COLUMNS, ENTITY)
    text, count = history(call.services.store.records, listing, call.user.id)
    return JsonReply(text, count)


def show_history(call: Call) -> Reply:
    """Give one invocation as a list of one."""
    listing, uuid = Listing(), call.names["uuid"]
    listing.where = f" AND uuid = {listing.bind(uuid)}"
    text, count = history(call.services.store.records, listing, call.user.id)
    if count == 0:
        raise NotFoundError(f"No {ENTITY} found with id={uuid}, user_id={call.user.id}")
    return JsonReply(text, count)


ROUTES = (
    Route("GET", "/api/invocation-history", list_history),
    Route("GET", "/api/invocation-history/<uuid>", show_history),
)
