"""The dataclasses that a plugin declares, as data: `Settings` and `Parameters` described there and made anew here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types

from ..contracts.plain import plain
from ..errors import PluginError

__all__ = ["described", "made"]

_PLAIN: Mapping[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "path": Path, "any": Any}
# bounds by the one number that each holds (https://github.com/annotated-types/annotated-types)
_BOUNDS = ("Ge", "Gt", "Le", "Lt", "MinLen", "MaxLen", "MultipleOf")
_NUMBERS = ("ge", "gt", "le", "lt", "min_length", "max_length", "multiple_of")


def described(kind: type) -> dict[str, Any]:
    """Describe a dataclass: its name, docstring and fields; raises PluginError for a type that no file can say."""
    if not is_dataclass(kind):
        raise PluginError(f"{kind.__name__} must be a frozen dataclass")
    hints = get_type_hints(kind, include_extras=True)
    return {
        "name": kind.__name__,
        "doc": kind.__doc__,
        "fields": [
            {"name": one.name, "type": _type_json(hints[one.name], one.name), **_default_json(one)}
            for one in fields(kind)
        ],
    }


def made(description: Mapping[str, Any]) -> type:
    """Make the frozen dataclass of a description."""
    made_fields = [
        (one["name"], _type_from(one["type"]), _default_from(one)) for one in description["fields"]
    ]
    kind = make_dataclass(description["name"], made_fields, frozen=True, kw_only=True)
    kind.__doc__ = description["doc"]
    return kind


def _default_json(one: Field[Any]) -> dict[str, Any]:
    value: Any = one.default
    if one.default_factory is not MISSING:
        value = one.default_factory()
    if value is MISSING:
        return {}
    words = {key: said for key, said in one.metadata.items() if isinstance(said, (str, int, float))}
    return {"default": _said(value), "metadata": words}


def _said(value: Any) -> Any:
    """Give a default as JSON has it."""
    if isinstance(value, tuple):
        return [_said(item) for item in value]
    return str(value) if isinstance(value, Path) else plain(value)


def _default_from(one: Mapping[str, Any]) -> Any:
    metadata = one.get("metadata")
    if "default" not in one:
        return field(metadata=metadata)
    value = _value(one["type"], one["default"])
    if isinstance(value, (list, dict)):
        return field(default_factory=value.copy, metadata=metadata)
    return field(default=value, metadata=metadata)


def _value(kind: Mapping[str, Any], value: Any) -> Any:
    """Give a default as its type has it: JSON knows neither tuples nor paths."""
    if "tuple" in kind and isinstance(value, list):
        return tuple(
            _value(arm, item) for arm, item in zip(_repeated(kind["tuple"], value), value, strict=False)
        )
    if "union" in kind:
        return next((got for arm in kind["union"] if arm and (got := _value(arm, value)) != value), value)
    if "of" in kind:
        return _value(kind["of"], value)
    return Path(value) if kind.get("plain") == "path" and isinstance(value, str) else value


def _repeated(arms: list[Any], value: list[Any]) -> list[Any]:
    return [arms[0]] * len(value) if arms[-1] == "..." else arms


def _type_json(hint: Any, where: str) -> dict[str, Any]:
    origin, arms = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return {"of": _type_json(arms[0], where), "bounds": _bounds(arms[1:]), "notes": _notes(arms[1:])}
    if origin is Literal:
        return {"literal": list(arms)}
    if origin in (Union, UnionType):
        return {"union": [None if arm is NoneType else _type_json(arm, where) for arm in arms]}
    if origin is tuple:
        return {"tuple": ["..." if arm is Ellipsis else _type_json(arm, where) for arm in arms]}
    for name, known in _PLAIN.items():
        if hint is known:
            return {"plain": name}
    raise PluginError(f"the field '{where}' is declared as {hint!r}, a type that no TOML value is read into")


def _bounds(marks: tuple[Any, ...]) -> list[list[Any]]:
    return [
        [name, getattr(mark, number)]
        for mark in marks
        for name, number in zip(_BOUNDS, _NUMBERS, strict=True)
        if type(mark).__name__ == name
    ]


def _notes(marks: tuple[Any, ...]) -> list[str]:
    return [mark for mark in marks if isinstance(mark, str)]


def _type_from(kind: Mapping[str, Any]) -> Any:
    if "of" in kind:
        marks = [getattr(annotated_types, name)(number) for name, number in kind["bounds"] if name in _BOUNDS]
        return (
            Annotated[(_type_from(kind["of"]), *marks, *kind["notes"])]
            if marks or kind["notes"]
            else _type_from(kind["of"])
        )
    if "literal" in kind:
        return Literal[tuple(kind["literal"])]
    if "union" in kind:
        arms = (NoneType if arm is None else _type_from(arm) for arm in kind["union"])
        return reduce(or_, arms)
    if "tuple" in kind:
        return tuple[tuple(Ellipsis if arm == "..." else _type_from(arm) for arm in kind["tuple"])]  # type: ignore[misc]  # made at run time
    return _PLAIN[kind["plain"]]
