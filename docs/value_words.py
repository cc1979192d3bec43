"""Says type hints and defaults in words, for the reference tables."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, get_args, get_origin

__all__ = ["default_words", "table", "value_words"]

SIMPLE = {bool: "true, false", int: "integer", float: "number", str: "text", type(None): "null"}


def value_words(hint: Any, named: dict[Any, str] | None = None) -> str:
    """Say which values a type hint admits; `named` says types that have words of their own."""
    known = {**SIMPLE, **(named or {})}
    if isinstance(hint, type) and hint in known:
        return known[hint]
    limits = {type(limit).__name__: limit for limit in getattr(hint, "__metadata__", ())}
    if limits:
        low = f" from {limits['Ge'].ge:.16g}" if "Ge" in limits else ""
        high = f" to {limits['Le'].le:.16g}" if "Le" in limits else ""
        longest = f" up to {limits['MaxLen'].max_length} characters" if "MaxLen" in limits else ""
        return f"{value_words(hint.__origin__, named)}{low}{high}{longest}"
    parts = get_args(hint)
    if get_origin(hint) is tuple:
        return f"{value_words(parts[0], named)}; or a list of them"
    if get_origin(hint) is dict:
        return "object"
    if parts and all(isinstance(part, str | int) for part in parts):
        return ", ".join(json.dumps(part) for part in parts)
    return ", ".join(value_words(part, named) for part in parts)


def default_words(value: object) -> str:
    """Say a default as JSON."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out a table; cells must hold no bar."""
    heads = tuple(heads)
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
