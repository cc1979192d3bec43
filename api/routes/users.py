"""Users: shown, made, changed and removed, by administrators."""

from __future__ import annotations

from stretto.host.errors import NotFoundError

from ..access import admins_may
from ..accounts import add_user, change_user, form_of, remove_user
from ..include import include_of
from ..listing import Listing, listing_of
from ..people import USER, USER_COLUMNS, people_listed, person_object
from ..routing import Call, Data, JsonReply, Reply, Route

__all__ = ["ROUTES"]

ENTITY = "User"


def list_users(call: Call) -> Reply:
    """Give users by limit, offset, sort, ilike and filter, with what `include` names."""
    return JsonReply(
        *_listed(call, listing_of(call.params, USER_COLUMNS, call.services.store.records.dialect))
    )


def show_user(call: Call) -> Reply:
    """Give one user as a list of one."""
    listing, username = Listing(), call.names["username"]
    listing.where = f" AND LOWER(username) = {listing.bind(username.lower())}"
    text, count = _listed(call, listing)
    if count == 0:
        raise NotFoundError(f"No {ENTITY} found with username={username}")
    return JsonReply(text, count)


def create_user(call: Call) -> Reply:
    """Make a user with `username`, `new_password` and `repeat_password`."""
    person = add_user(call.services.store.records, form_of(call.body()))
    return Data(person_object(person, {}), in_meta=True)


def update_user(call: Call) -> Reply:
    """Change names, the password (which revokes the tokens) or the level of a user."""
    person = change_user(call.services.store.records, call.names["username"], form_of(call.body()))
    return Data(person_object(person, {}), in_meta=True)


def delete_user(call: Call) -> Reply:
    """Remove a user and the user's tokens; the history stays."""
    remove_user(call.services.store.records, call.names["username"])
    return Data(None)


def _listed(call: Call, listing: Listing) -> tuple[str, int]:
    services = call.services
    included = include_of(call.params, USER)
    return people_listed(services.store.records, listing, included, noauth=not services.auth.required)


ROUTES = (
    Route("GET", "/api/users", list_users, admins_may("read", ENTITY)),
    Route("POST", "/api/users", create_user, admins_may("create", ENTITY)),
    Route("GET", "/api/users/<username>", show_user, admins_may("read", ENTITY)),
    Route("PATCH", "/api/users/<username>", update_user, admins_may("update", ENTITY)),
    # the contract's example of PATCH says POST
    Route("POST", "/api/users/<username>", update_user, admins_may("update", ENTITY)),
    Route("DELETE", "/api/users/<username>", delete_user, admins_may("delete", ENTITY)),
)
