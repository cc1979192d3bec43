"""Stored models: shown, made, changed and removed; and what may be named as `model`."""

from __future__ import annotations

from stretto.host.errors import NotFoundError

from ..access import admins_may, users_may
from ..include import include_of
from ..listing import Listing, listing_of
from ..model_form import read_form
from ..model_objects import MODEL, MODEL_COLUMNS, model_object, models_listed
from ..model_status import status_of
from ..models import add_model, change_model, find_model, model_names, remove_model
from ..routing import Call, Data, JsonReply, Reply, Route
from ..weight_names import checkpoint_names

__all__ = ["ROUTES"]

ENTITY = MODEL.entity


def list_models(call: Call) -> Reply:
    """Give stored models by limit, offset, sort, ilike and filter, with what `include` names."""
    return JsonReply(
        *_listed(call, listing_of(call.params, MODEL_COLUMNS, call.services.store.records.dialect))
    )


def show_model(call: Call) -> Reply:
    """Give one stored model as a list of one."""
    listing, name = Listing(), call.names["name"]
    listing.where = f" AND name = {listing.bind(name)}"
    text, count = _listed(call, listing)
    if count == 0:
        raise NotFoundError(f"No {ENTITY} found with name={name}")
    return JsonReply(text, count)


def create_model(call: Call) -> Reply:
    """Keep a checkpoint under a name, with what is to be used with it."""
    services = call.services
    given = read_form(call.body(), services.host)
    return Data(model_object(add_model(services.store.records, given), {}))


def update_model(call: Call) -> Reply:
    """Change what the body names and nothing else; null and empty lists clear."""
    services = call.services
    given = read_form(call.body(), services.host)
    return Data(model_object(change_model(services.store.records, call.names["name"], given), {}))


def delete_model(call: Call) -> Reply:
    """Forget a stored model; its files stay."""
    remove_model(call.services.store.records, call.names["name"])
    return Data(None)


def show_model_status(call: Call) -> Reply:
    """Say which files a stored model takes and whether compiled engines are ready for it."""
    name = call.names["name"]
    model = find_model(call.services.store.records, name)
    if model is None:
        raise NotFoundError(f"No model named {name}")
    return Data(status_of(model, call.services.host))


def list_options(call: Call) -> Reply:
    """Give what may be named as `model`, with the `model_type` that says which is meant."""
    services = call.services
    host = services.host
    named = [("checkpoint", name) for name in checkpoint_names(host)]
    named += [
        ("diffusers", name)
        for name in dict.fromkeys([*host.offers("models"), *host.library.names("diffusers")])
    ]
    named += [("model", name) for name in model_names(services.store.records)]
    return Data([{"type": kind, "name": name} for kind, name in named])


def _listed(call: Call, listing: Listing) -> tuple[str, int]:
    return models_listed(call.services.store.records, listing, include_of(call.params, MODEL))


READ = users_may("read", ENTITY)
ROUTES = (
    Route("GET", "/api/models", list_models, READ),
    Route("POST", "/api/models", create_model, admins_may("create", ENTITY)),
    Route("GET", "/api/models/<name>", show_model, READ),
    Route("PATCH", "/api/models/<name>", update_model, admins_may("update", ENTITY)),
    Route("DELETE", "/api/models/<name>", delete_model, admins_may("delete", ENTITY)),
    Route("GET", "/api/models/<name>/status", show_model_status, READ),
    Route("GET", "/api/model-options", list_options, READ),
)
