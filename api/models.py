"""Stored models: a checkpoint under a name of its own, with all that is to be used with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pony.orm import db_session
from stretto.host.errors import BadRequestError, NotFoundError, StateConflictError

from .entities import Records
from .model_form import KEPT

__all__ = [
    "Parts",
    "StoredModel",
    "add_model",
    "change_model",
    "find_model",
    "model_names",
    "model_of",
    "remove_model",
]

LONGEST_NAME = 255  # characters; Pony raises over a longer one
SIZE_PX = 512  # the contract's, of every checkpoint
PLAIN = ("size", "prompt", "negative_prompt")
DEFAULTS = {"size": SIZE_PX, "prompt": "", "negative_prompt": ""}


@dataclass(slots=True, kw_only=True)
class Parts:
    """What hangs on a model; null and empty where there is nothing."""

    refiner: str | None = None
    refiner_size: int | None = None
    inpainter: str | None = None
    inpainter_size: int | None = None
    scheduler: str | None = None
    multi_scheduler: str | None = None
    vae: str | None = None
    lora: list[dict[str, Any]] = field(default_factory=list)
    lycoris: list[dict[str, Any]] = field(default_factory=list)
    inversion: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    def take(self, given: Mapping[str, Any]) -> None:
        """Replace what is there in `given`; null clears it."""
        for key, value in given.items():
            if key in KEPT:
                self.config.pop(key, None)
                if value is not None:
                    self.config[key] = value
            elif key in ("lora", "lycoris", "inversion"):
                setattr(self, key, [{"model": one.model, "weight": one.weight} for one in value or ()])
            elif hasattr(self, key):
                setattr(self, key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """One stored model; `model` is the checkpoint's name, `size` in pixels."""

    name: str
    model: str
    size: int
    prompt: str
    negative_prompt: str
    parts: Parts


def add_model(records: Records, given: Mapping[str, Any]) -> StoredModel:
    """Keep a model of a form that was read; raises BadRequestError and StateConflictError."""
    for key in ("checkpoint", "name"):
        if not given.get(key):
            raise BadRequestError(f"Missing required parameter '{key}'")
    parts = Parts()
    parts.take(given)
    plain = {key: DEFAULTS[key] if given.get(key) is None else given[key] for key in PLAIN}
    with db_session(immediate=True):
        _refuse_known(records, given["name"])
        row = records.model(name=given["name"], model=given["checkpoint"], parts=_text(parts), **plain)
        row.flush()
        return _stored(row)


def change_model(records: Records, name: str, given: Mapping[str, Any]) -> StoredModel:
    """Change what is there in a form that was read, and nothing else.

    null goes back to the default, and an empty name or checkpoint is a fault. Raises NotFoundError,
    BadRequestError, and StateConflictError for a name that another model has.
    """
    for key in ("checkpoint", "name"):
        if key in given and not given[key]:
            raise BadRequestError(f"Missing required parameter '{key}'")
    with db_session(immediate=True):
        row = _row(records, name)
        if given.get("name", name) != name:
            _refuse_known(records, given["name"])
            row.name = given["name"]
        row.model = given.get("checkpoint", row.model)
        for key in PLAIN:
            if key in given:
                setattr(row, key, DEFAULTS[key] if given[key] is None else given[key])
        parts = Parts(**json.loads(row.parts))
        parts.take(given)
        row.parts = _text(parts)
        return _stored(row)


def remove_model(records: Records, name: str) -> None:
    """Forget a model; its files stay. Raises NotFoundError."""
    with db_session(immediate=True):
        _row(records, name).delete()


def find_model(records: Records, name: str) -> StoredModel | None:
    """Give a model by its whole name."""
    with db_session:
        row = records.model.get(name=name) if 0 < len(name) <= LONGEST_NAME else None
        return None if row is None else _stored(row)


def model_names(records: Records) -> list[str]:
    """Give the names of all models, oldest first."""
    with db_session:
        return [row.name for row in records.model.select().order_by(records.model.id)]


def model_of(values: Mapping[str, Any]) -> StoredModel:
    """Make a model of a row's columns."""
    return StoredModel(**{**values, "parts": Parts(**json.loads(values["parts"]))})


def _row(records: Records, name: str) -> Any:
    row = records.model.get_for_update(name=name) if 0 < len(name) <= LONGEST_NAME else None
    if row is None:
        raise NotFoundError(f"No model named {name}")
    return row


def _refuse_known(records: Records, name: str) -> None:
    if records.model.get(name=name) is not None:
        raise StateConflictError(
            f"A model named {name} exists already; change that one, or choose another name"
        )


def _text(parts: Parts) -> str:
    return json.dumps(asdict(parts))


def _stored(row: Any) -> StoredModel:
    columns = ("name", "model", "size", "prompt", "negative_prompt", "parts")
    return model_of({name: getattr(row, name) for name in columns})
