"""Pieces of JSON Schema (draft 2020-12) from which the OpenAPI document is put together."""

from __future__ import annotations

from typing import Any

__all__ = ["NULL", "NUMBER", "REF", "TEXT", "WHOLE", "Shape", "either", "listed", "ref", "thing"]

Shape = dict[str, Any]

REF = "#/components/schemas/{model}"
TEXT: Shape = {"type": "string"}
NULL: Shape = {"type": "null"}
WHOLE: Shape = {"type": "integer"}
NUMBER: Shape = {"type": "number"}


def ref(name: str) -> Shape:
    """Name a schema of the document's components."""
    return {"$ref": REF.format(model=name)}


def listed(items: Shape) -> Shape:
    """Give a list of something."""
    return {"type": "array", "items": items}


def either(*choices: Shape) -> Shape:
    """Give what is one of several."""
    return {"anyOf": list(choices)}


def thing(required: str = "", **properties: Shape) -> Shape:
    """Give an object; `required` are names with blanks between them, `*` all."""
    made: Shape = {"type": "object", "properties": properties}
    names = list(properties) if required == "*" else required.split()
    return {**made, "required": names} if names else made
