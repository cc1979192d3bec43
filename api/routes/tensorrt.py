"""Compiled engines: listed with the stored models that take them, and removed."""

from __future__ import annotations

from stretto.trt_cache.faults import CacheError

from ..access import admins_may, users_may
from ..engines import Engines, in_our_words
from ..model_objects import MODEL
from ..models import find_model, model_names
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]

WAIT_S = 1.0  # for another process that has an engine in hand


def list_engines(call: Call) -> Reply:
    """Give every compiled engine, by whichever compiler, with the stored models that draw with it."""
    records = call.services.store.records
    models = [model for name in model_names(records) if (model := find_model(records, name)) is not None]
    return Data(Engines(call.services.host).listed(models))


def delete_engine(call: Call) -> Reply:
    """Remove an engine; who asks for it next has it built again, or draws with torch."""
    engines = Engines(call.services.host)
    engine = engines.find(call.names["model"], call.names["type"], call.names["key"])
    try:
        engines.store.remove(engine.digest, timeout_s=WAIT_S)
    except CacheError as error:
        raise in_our_words(error) from error
    return Data(None)


ROUTES = (
    Route("GET", "/api/tensorrt", list_engines, users_may("read", MODEL.entity)),
    Route(
        "DELETE",
        "/api/tensorrt/<model>/<type>/<key>",
        delete_engine,
        admins_may("update", MODEL.entity),
    ),
)
