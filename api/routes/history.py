"""History: every invocation that was kept, with its plan."""

from __future__ import annotations

from ..access import users_may
from ..history import HISTORY_COLUMNS, history
from ..include import Relation, include_of
from ..listing import Listing, listing_of
from ..routing import Call, JsonReply, Reply, Route
from .invocations import absent

__all__ = ["ROUTES"]

ENTITY = "DiffusionInvocation"
READ = users_may("read", ENTITY)
HISTORY = Relation(entity=ENTITY)


def list_history(call: Call) -> Reply:
    """Give the caller's history by limit, offset, sort, ilike and filter."""
    include_of(call.params, HISTORY)
    records = call.services.store.records
    listing = listing_of(call.params, HISTORY_COLUMNS, records.dialect)
    text, count = history(records, listing, call.user.id)
    return JsonReply(text, count)


def show_history(call: Call) -> Reply:
    """Give one invocation as a list of one."""
    listing, uuid = Listing(limit=2), call.names["uuid"]  # of which there is one, or none
    listing.where = f" AND uuid = {listing.bind(uuid)}"
    text, count = history(call.services.store.records, listing, call.user.scope)
    if count == 0:
        raise absent(call, uuid, f"No {ENTITY} found with id={uuid}, user_id={call.user.id}")
    return JsonReply(text, count)


ROUTES = (
    Route("GET", "/api/invocation-history", list_history, READ),
    Route("GET", "/api/invocation-history/<uuid>", show_history, READ),
)
