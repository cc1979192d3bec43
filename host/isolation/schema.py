"""The dataclasses that a plugin declares, as data: `Settings` and `Parameters` described there and made anew here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from functools import partial, reduce
from operator import or_
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types

from ..errors import PluginError

__all__ = ["Construct", "constructed", "described", "made"]

# `__post_init__` of the plugin's own: the number of its dataclass and the values of an instance, as said, to all of
# its values; raises ValueError for those that do not go together
Construct = Callable[[int, Mapping[str, Any]], Mapping[str, Any]]

_PLAIN: Mapping[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "path": Path}
_LEAVES = (NoneType, bool, int, float, str)
_LITERALS = (NoneType, bool, int, str)
# https://github.com/annotated-types/annotated-types, with the attributes of each
_MARKS: Mapping[str, tuple[str, ...]] = {
    "Ge": ("ge",),
    "Gt": ("gt",),
    "Le": ("le",),
    "Lt": ("lt",),
    "Interval": ("gt", "ge", "lt", "le"),
    "MinLen": ("min_length",),
    "MaxLen": ("max_length",),
    "Len": ("min_length", "max_length"),
    "MultipleOf": ("multiple_of",),
}


# -- there: the plugin's dataclasses as data -----------------------------------------------------


def described(kind: type, word: str) -> tuple[dict[str, Any], list[type]]:
    """Describe a dataclass and those that are nested in it, each after what it is made of; gives them as well.

    It has passed `check_declared` under the name `word`. Raises PluginError for a literal or a default that cannot
    be sent.
    """
    kinds: dict[type, int] = {}
    said: list[dict[str, Any]] = []
    _describe(kind, word, kinds, said)
    return {"kinds": said}, list(kinds)


def _describe(kind: Any, where: str, kinds: dict[type, int], said: list[dict[str, Any]]) -> int:
    if kind in kinds:
        return kinds[kind]
    hints = get_type_hints(kind, include_extras=True)

    def nested(inner: Any, where: str) -> int:
        return _describe(inner, where, kinds, said)

    parts = []
    for one in fields(kind):
        try:
            parts.append(_field_json(one, hints[one.name], f"{where}.{one.name}", nested))
        except PluginError:
            if one.init:  # else nobody gives it a value
                raise
    kinds[kind] = len(said)
    said.append(
        {
            "name": kind.__name__,
            "module": kind.__module__,
            "qualname": kind.__qualname__,
            "doc": kind.__doc__,
            "checks": hasattr(kind, "__post_init__"),
            "fields": parts,
        }
    )
    return kinds[kind]


def _field_json(one: Field[Any], hint: Any, where: str, nested: Callable[[Any, str], int]) -> dict[str, Any]:
    words = {key: said for key, said in one.metadata.items() if isinstance(said, _LEAVES)}
    part = {"name": one.name, "type": _type_json(hint, where, nested), "init": one.init, "metadata": words}
    if one.default is not MISSING:
        part["default"] = _said(one.default, where, nested)
    elif one.default_factory is not MISSING:
        part["factory"] = _said(one.default_factory(), where, nested)
    return part


def _type_json(hint: Any, where: str, nested: Callable[[Any, str], int]) -> dict[str, Any]:
    origin, arms = get_origin(hint), get_args(hint)
    within = partial(_type_json, where=where, nested=nested)
    if origin is Annotated:
        notes = [mark for mark in arms[1:] if isinstance(mark, str)]
        return {"of": within(arms[0]), "marks": _marks_json(arms[1:]), "notes": notes}
    if origin is Literal:
        for arm in arms:
            if type(arm) not in _LITERALS:
                raise PluginError(
                    f"{where} has the literal {arm!r}, which cannot be sent from a process of its own; "
                    "use strings and whole numbers"
                )
        return {"literal": list(arms)}
    if origin in (Union, UnionType):
        return {"union": [None if arm is NoneType else within(arm) for arm in arms]}
    if origin is tuple:
        return {"tuple": ["..." if arm is Ellipsis else within(arm) for arm in arms]}
    if isinstance(hint, type) and is_dataclass(hint):
        return {"kind": nested(hint, where)}
    for name, known in _PLAIN.items():
        if hint is known:
            return {"plain": name}
    raise PluginError(
        f"{where} is declared as {hint!r}, a type that cannot be sent from a process of its own"
    )


def _marks_json(marks: tuple[Any, ...]) -> list[list[Any]]:
    """Give the bounds among what a type is annotated with; what else is there means nothing to the host."""
    return [
        [name, {attribute: getattr(mark, attribute) for attribute in attributes}]
        for mark in marks
        for name, attributes in _MARKS.items()
        if type(mark).__name__ == name
    ]


def _said(value: Any, where: str, nested: Callable[[Any, str], int]) -> Any:
    """Give a value as JSON has it, with the name of what JSON has not."""
    if isinstance(value, _LEAVES):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_said(item, where, nested) for item in value]}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        number = nested(type(value), where)
        return {"kind": number, "values": _values_said(value, where, nested)}
    raise PluginError(
        f"{where} has the value {value!r:.80}, which cannot be sent between the host and a process of its own; use "
        "what can be declared: bool, int, float, str, Path, None, tuple, and frozen dataclasses"
    )


def _values_said(value: Any, where: str, nested: Callable[[Any, str], int]) -> dict[str, Any]:
    return {one.name: _said(getattr(value, one.name), where, nested) for one in fields(value) if one.init}


def constructed(kinds: list[type], number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Have the plugin's own dataclass made of values, and give what it has then; raises what it raises."""
    whole = _read({"kind": number, "values": values}, kinds)
    return {
        one.name: _said(getattr(whole, one.name), one.name, lambda kind, _: kinds.index(kind))
        for one in fields(kinds[number])
        if one.init
    }


# -- here: dataclasses made of that --------------------------------------------------------------


def made(description: Mapping[str, Any], construct: Construct) -> type:
    """Make the frozen dataclass of a description; `construct` is called for those that check their values.

    What the plugin said of values already (`known`) is not asked for again.
    """
    kinds: list[type] = []
    for number, one in enumerate(description["kinds"]):
        known = [(given, got) for at, given, got in description.get("known", ()) if at == number]
        kinds.append(_made(one, kinds, known, partial(construct, number)))
    return kinds[-1]


def _made(
    one: Mapping[str, Any],
    kinds: list[type],
    known: list[tuple[Any, Any]],
    construct: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> type:
    namespace = {"__doc__": one["doc"], "__module__": one["module"], "__qualname__": one["qualname"]}
    if one["checks"]:
        within = list(kinds)

        def check(self: Any) -> None:
            values = _values_said(self, one["name"], lambda kind, _: within.index(kind))
            got = next((got for given, got in known if _alike(given, values)), None)
            for name, value in (construct(values) if got is None else got).items():
                object.__setattr__(self, name, _read(value, within))

        namespace["__post_init__"] = check
    parts = [
        (part["name"], _type_from(part["type"], kinds), _field_from(part, kinds)) for part in one["fields"]
    ]
    return make_dataclass(one["name"], parts, frozen=True, kw_only=True, namespace=namespace)


def _alike(given: Any, values: Any) -> bool:
    """Compare as JSON does, where true is not 1."""
    return bool(given == values) and repr(given) == repr(values)


def _field_from(part: Mapping[str, Any], kinds: list[type]) -> Any:
    about: dict[str, Any] = {"metadata": part["metadata"], "init": part["init"]}
    if "default" in part:
        return field(default=_read(part["default"], kinds), **about)
    if "factory" in part:
        value = _read(part["factory"], kinds)
        return field(default_factory=lambda: value, **about)
    return field(**about)


def _read(said: Any, kinds: list[type]) -> Any:
    """Read a value that `_said` gave."""
    if not isinstance(said, dict):
        return said
    if "tuple" in said:
        return tuple(_read(item, kinds) for item in said["tuple"])
    if "path" in said:
        return Path(said["path"])
    return kinds[said["kind"]](**{name: _read(value, kinds) for name, value in said["values"].items()})


def _type_from(kind: Mapping[str, Any], kinds: list[type]) -> Any:
    within = partial(_type_from, kinds=kinds)
    if "of" in kind:
        marks = [
            getattr(annotated_types, name)(**numbers) for name, numbers in kind["marks"] if name in _MARKS
        ]
        about = (*marks, *kind["notes"])
        return Annotated[(within(kind["of"]), *about)] if about else within(kind["of"])
    if "literal" in kind:
        return Literal[tuple(kind["literal"])]
    if "union" in kind:
        return reduce(or_, (NoneType if arm is None else within(arm) for arm in kind["union"]))
    if "tuple" in kind:
        return tuple[tuple(Ellipsis if arm == "..." else within(arm) for arm in kind["tuple"])]  # type: ignore[misc]  # made at run time
    return kinds[kind["kind"]] if "kind" in kind else _PLAIN[kind["plain"]]
