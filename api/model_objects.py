"""Stored models as the API shows them: a page of the collection, with what is included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pony.orm import db_session

from .entities import Records
from .envelope import json_text
from .include import Included, Relation
from .listing import Column, Listing
from .models import StoredModel, model_of

__all__ = ["MODEL", "MODEL_COLUMNS", "model_object", "models_listed"]

MODEL_COLUMNS = {
    "model": Column(sql="model", kind="text"),
    "name": Column(sql="name", kind="text"),
    "negative_prompt": Column(sql="negative_prompt", kind="text"),
    "prompt": Column(sql="prompt", kind="text"),
    "size": Column(sql="size", kind="integer"),
}
CLASSES = {
    "refiner": "DiffusionModelRefiner",
    "inpainter": "DiffusionModelInpainter",
    "scheduler": "DiffusionModelScheduler",
    "lora": "DiffusionModelLora",
    "lycoris": "DiffusionModelLycoris",
    "inversion": "DiffusionModelInversion",
    "vae": "DiffusionModelVAE",
    "config": "DiffusionModelDefaultConfiguration",
}
BACK = "diffusion_model"
MODEL = Relation(entity="DiffusionModel")
MODEL.relations |= {
    name: Relation(entity=entity, relations={BACK: MODEL}) for name, entity in CLASSES.items()
}


def models_listed(records: Records, listing: Listing, included: Included) -> tuple[str, int]:
    """Give a page of models as a JSON list, and the number of all that match."""
    where = f"WHERE 1 = 1{listing.where}"
    values = {**listing.values, "limit": listing.limit, "offset": listing.offset}
    names = ("name", "model", "size", "prompt", "negative_prompt", "parts")
    with db_session:
        rows = records.database.select(
            f"SELECT {', '.join(names)} FROM model {where} "  # noqa: S608  # only Column.sql
            f"{listing.order or 'ORDER BY id'} LIMIT $limit OFFSET $offset",
            {},
            values,
        )
        count = records.database.select(f"SELECT COUNT(*) FROM model {where}", {}, values)[0]  # noqa: S608  # the same
    found = [model_of(dict(zip(names, row, strict=True))) for row in rows]
    return json_text([model_object(model, included) for model in found]), int(count)


def model_object(model: StoredModel, included: Included) -> dict[str, Any]:
    """Give a model in the contract's shape, with related objects in the order asked for."""
    made: dict[str, Any] = {
        "type": MODEL.entity,
        "attributes": {
            "model": model.model,
            "name": model.name,
            "negative_prompt": model.negative_prompt,
            "prompt": model.prompt,
            "size": model.size,
        },
    }
    if included:
        made["include"] = {name: _related(name, model, included[name]) for name in included}
    return made


def _related(name: str, model: StoredModel, included: Included) -> list[dict[str, Any]] | None:
    rows = ROWS[name](model)
    if rows is None:
        return None
    made = []
    for row in rows:
        attributes = dict(sorted({**row, "diffusion_model_name": model.name}.items()))
        one: dict[str, Any] = {"type": CLASSES[name], "attributes": attributes}
        if included:
            one["include"] = {BACK: [model_object(model, included[BACK])]}
        made.append(one)
    return made


Rows = list[dict[str, Any]]


def _refiner(model: StoredModel) -> Rows | None:
    parts = model.parts
    return None if parts.refiner is None else [{"model": parts.refiner, "size": parts.refiner_size}]


def _inpainter(model: StoredModel) -> Rows | None:
    parts = model.parts
    return None if parts.inpainter is None else [{"model": parts.inpainter, "size": parts.inpainter_size}]


def _schedulers(model: StoredModel) -> Rows:
    named = (("", model.parts.scheduler), ("multi_diffusion", model.parts.multi_scheduler))
    return [{"context": context, "name": name} for context, name in named if name is not None]


def _vae(model: StoredModel) -> Rows | None:
    return None if model.parts.vae is None else [{"name": model.parts.vae}]


def _config(model: StoredModel) -> Rows:
    pairs = sorted(model.parts.config.items())
    return [{"configuration_key": key, "configuration_value": value} for key, value in pairs]


ROWS: dict[str, Callable[[StoredModel], Rows | None]] = {
    "refiner": _refiner,
    "inpainter": _inpainter,
    "scheduler": _schedulers,
    "lora": lambda model: model.parts.lora,
    "lycoris": lambda model: model.parts.lycoris,
    "inversion": lambda model: [{"model": one["model"]} for one in model.parts.inversion],
    "vae": _vae,
    "config": _config,
}
