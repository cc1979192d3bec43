"""The query parameter `include`: which related objects are shown with an object, nested by dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stretto.host.errors import BadRequestError

from .fields import shown

__all__ = ["Included", "Relation", "include_of"]

MAX_DEPTH = 3
MAX_PATHS = 32

# relation -> what is shown with it, in the order of the request
Included = dict[str, "Included"]


@dataclass(slots=True, kw_only=True)
class Relation:
    """A class of objects and what can be included with it; relations may lead in circles."""

    entity: str
    relations: dict[str, Relation] = field(default_factory=dict)


def include_of(params: Mapping[str, Sequence[str]], root: Relation) -> Included:
    """Read `include`; raises BadRequestError for what is no relation, or leads too far."""
    paths = params.get("include", ())
    if len(paths) > MAX_PATHS:
        raise BadRequestError(f"{len(paths)} times include is too often; at most {MAX_PATHS} serve")
    tree: Included = {}
    for path in paths:
        parts = path.split(".")
        if len(parts) > MAX_DEPTH:
            raise BadRequestError(f"include: {shown(path)} leads too far; at most {MAX_DEPTH} names serve")
        _plant(tree, parts, root)
    return tree


def _plant(tree: Included, parts: Sequence[str], at: Relation) -> None:
    for part in parts:
        if part not in at.relations:
            raise BadRequestError(f"Unknown or bad relationship {at.entity}({part[:80]})")
        tree, at = tree.setdefault(part, {}), at.relations[part]
