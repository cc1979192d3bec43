"""Logging in, and who one is."""

from __future__ import annotations

from urllib.parse import parse_qs

from stretto.host.errors import BadRequestError

from ..access import ANYBODY
from ..auth import cookie_of
from ..envelope import iso_local
from ..listing import Listing
from ..people import people_listed
from ..routing import Call, Data, JsonReply, Reply, Route, json_object

__all__ = ["ROUTES"]

MAX_BODY_BYTES = 16384


def log_in(call: Call) -> Reply:
    """Give a token for `username` and `password`, sent as JSON or as a form; it comes as a cookie too."""
    sent = _credentials(call.read())
    token = call.services.auth.log_in(sent.get("username"), sent.get("password"), call.address)
    attributes = {
        "access_token": token.text,
        "created": iso_local(token.created),
        "expires": iso_local(token.expires),
        "id": token.id,
        "token_type": "Bearer",
        "user_id": token.user_id,
    }
    value = {"type": "AuthenticationToken", "attributes": attributes}
    return Data(value, headers=(cookie_of(token.text),))


def show_self(call: Call) -> Reply:
    """Give the caller."""
    listing = Listing()
    listing.where = f" AND id = {listing.bind(call.user.id)}"
    text, _ = people_listed(call.services.store.records, listing, {}, noauth=True)
    return JsonReply(text.removeprefix("[").removesuffix("]"))


def _credentials(raw: bytes) -> dict[str, object]:
    # What is neither JSON nor a form has no credentials.
    try:
        return json_object(raw)
    except BadRequestError:
        form = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
        return {name: values[-1] for name, values in form.items()}


ROUTES = (
    Route("POST", "/api/login", log_in, ANYBODY, MAX_BODY_BYTES),
    Route("POST", "/login", log_in, ANYBODY, MAX_BODY_BYTES),
    Route("GET", "/self", show_self),
)
