"""JSON values into the annotated fields of a dataclass, and every fault in the words of its field.

Types and bounds stand in the dataclass; pydantic reads them, and so do the sentences made here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from stretto.host.errors import Fault, InvalidRequestError, did_you_mean

from .bounds import bounded, counted

__all__ = [
    "MAX_ITEMS",
    "MISSING",
    "checked",
    "expected",
    "hints_of",
    "refuse",
    "refuse_half_characters",
    "shown",
]

T = TypeVar("T")

MAX_FAULTS = 50  # reported of one body
MAX_ITEMS = 64  # in any list of a body
SHOWN_CHARACTERS = 60
SHOWN_NAMES = 8
MISSING = "is missing"  # how the fault of a field begins that has no default and was not given
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    bool: "true or false",
    dict: "an object",
}


def checked(owner: type[T], values: Mapping[str, object]) -> tuple[T | None, list[Fault]]:
    """Make an `owner` (a dataclass without required fields) of JSON values, lax per field.

    `"30"` serves for an int and `"true"` for a bool; a bool never serves for a number, nor does
    NaN. Gives the instance, or None and every fault. The names must be fields of `owner`.
    """
    from pydantic import ValidationError

    shape: Any = owner  # a type variable is not hashable to the type checker
    hints = hints_of(shape)
    fit: dict[str, object] = {}
    faults: list[Fault] = []
    for name, value in values.items():
        found = list(_misfits(name, value, hints[name]))
        faults += found
        if not found:
            fit[name] = _loosened(value, hints[name])
    try:
        made: T = _adapter(shape).validate_python(fit)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return None, list(dict.fromkeys([*faults, *(_fault(owner, detail) for detail in details)]))
    return (None, faults) if faults else (made, [])


def refuse(owner: type[Any], faults: Iterable[Fault]) -> None:
    """Raise InvalidRequestError if there is any fault, in the order of the owner's fields."""
    order = {field.name: position for position, field in enumerate(fields(owner))}
    found = sorted(faults, key=lambda fault: order.get(_root(fault.field), len(order)))
    if len(found) > MAX_FAULTS:
        more = len(found) - MAX_FAULTS
        found = [*found[:MAX_FAULTS], Fault(field="body", message=f"{more} more faults are not listed")]
    if found:
        raise InvalidRequestError(found)


def refuse_half_characters(values: Mapping[str, object]) -> None:
    """Raise InvalidRequestError for texts that hold a surrogate alone: no file and no answer could hold it.

    JSON can write one, and so can a command line in another encoding than the terminal's.
    """
    if found := list(_half_characters("", values)):
        raise InvalidRequestError(found[:MAX_FAULTS])


def _half_characters(where: str, value: object) -> Iterator[Fault]:
    if isinstance(value, str):
        halves = () if value.isascii() else (char for char in value if "\ud800" <= char <= "\udfff")
        for char in islice(halves, 1):
            yield Fault(field=where, message=f"U+{ord(char):04X} is half a character; send the whole one")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            shown_key = str(key).encode(errors="replace").decode()
            path = f"{where}.{shown_key}" if where else shown_key
            yield from _half_characters(path, key)
            yield from _half_characters(path, inner)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _half_characters(f"{where}[{position}]", inner)


def shown(value: object) -> str:
    """Quote an offending value, shortened."""
    if isinstance(value, str):
        short = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
        return json.dumps(short, ensure_ascii=False)
    if isinstance(value, Mapping):
        return f"an object with {len(value)} keys"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def expected(hint: Any) -> str:
    """Say what a field takes: `a whole number from 8 to 16384`."""
    arms = _arms(hint)
    if len(arms) > 1:
        return " or ".join(expected(arm) for arm in arms)
    plain, bounds = _unwrapped(hint)
    origin = get_origin(plain)
    if origin is Literal:
        return f"one of {', '.join(str(word) for word in get_args(plain))}"
    if origin is tuple:
        return _expected_list(get_args(plain)) + counted(bounds)
    if is_dataclass(plain):
        names = [field.name for field in fields(plain)]
        more = ", ..." if len(names) > SHOWN_NAMES else ""
        return f"an object with {', '.join(names[:SHOWN_NAMES])}{more}"
    return bounded(WORDS.get(origin or plain, "of a known type"), bounds)


def _expected_list(items: tuple[Any, ...]) -> str:
    if items[-1] is Ellipsis or len(set(items)) == 1:
        return f"a list, each {expected(items[0])}"
    return f"a list of {len(items)}: {', '.join(expected(item) for item in items)}"


@cache
def hints_of(owner: Any) -> dict[str, Any]:
    """Give the annotations of a dataclass with their bounds."""
    return get_type_hints(owner, include_extras=True)


@cache
def _adapter(owner: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(owner)


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    # Annotated[X, bounds] | None -> X, bounds
    if get_origin(hint) in (Union, UnionType):
        return _unwrapped(next(part for part in get_args(hint) if part is not NoneType))
    if get_origin(hint) is Annotated:
        inner, *bounds = get_args(hint)
        plain, more = _unwrapped(inner)
        return plain, (*bounds, *more)
    return hint, ()


def _arms(hint: Any) -> list[Any]:
    """Give what a field may be besides None, in its order."""
    if get_origin(hint) in (Union, UnionType):
        return [arm for part in get_args(hint) if part is not NoneType for arm in _arms(part)]
    return [hint]


def _misfits(name: str, value: object, hint: Any) -> Iterator[Fault]:
    # What pydantic's lax mode would let pass: booleans as numbers, NaN, and lists without end.
    arms = _arms(hint)
    if len(arms) > 1:
        if all(list(_misfits(name, value, arm)) for arm in arms):
            yield Fault(field=name, message=f"{shown(value)} is not {expected(hint)}")
        return
    plain, _ = _unwrapped(hint)
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            yield Fault(field=name, message=f"a list of {len(value)} is too long; at most {MAX_ITEMS} serve")
            return
        for position, (item, inner) in enumerate(zip(value, _items(plain, len(value)), strict=False)):
            yield from _misfits(f"{name}[{position}]", item, inner)
    elif (isinstance(value, bool) and not _takes_bool(plain)) or (plain is float and _endless(value)):
        yield Fault(field=name, message=f"{shown(value)} is not {expected(hint)}")
    elif isinstance(value, dict) and is_dataclass(plain):
        for key, inner in hints_of(plain).items():  # type: ignore[arg-type]  # is_dataclass narrows to instances
            if key in value:
                yield from _misfits(f"{name}.{key}", value[key], inner)


def _loosened(value: object, hint: Any) -> object:
    # pydantic compares literals strictly; "4" serves where 4 does.
    plain, _ = _unwrapped(hint)
    if get_origin(plain) is Literal and isinstance(value, str):
        return next((word for word in get_args(plain) if str(word) == value.strip()), value)
    return value


def _items(plain: Any, length: int) -> tuple[Any, ...]:
    """Give the types of a list's items; none where no list is wanted."""
    items: tuple[Any, ...] = get_args(plain) if get_origin(plain) is tuple else ()
    return (items[0],) * length if items and items[-1] is Ellipsis else items


def _takes_bool(plain: Any) -> bool:
    return plain is bool or (
        get_origin(plain) is Literal and any(type(word) is bool for word in get_args(plain))
    )


def _fault(owner: type[Any], detail: Mapping[str, Any]) -> Fault:
    where: tuple[str | int, ...] = detail["loc"]
    if detail["type"] == "missing":
        return Fault(field=_path(where), message=f"{MISSING} in {shown(detail['input'])}; name it")
    hint, where = _hint_at(owner, where)
    if detail["type"] == "value_error":  # what the dataclass itself says of its values
        return Fault(field=_path(where), message=str(detail["msg"]).removeprefix("Value error, "))
    message = f"{shown(detail['input'])} is not {expected(hint)}"
    plain, _ = _unwrapped(hint)
    if get_origin(plain) is Literal and isinstance(detail["input"], str):
        message += f"; {did_you_mean(detail['input'][:SHOWN_CHARACTERS], [str(w) for w in get_args(plain)])}"
    return Fault(field=_path(where), message=message)


def _hint_at(owner: type[Any], where: tuple[str | int, ...]) -> tuple[Any, tuple[str | int, ...]]:
    """Give the type of a field, and the way to it without pydantic's own words for the types of a union."""
    hint: Any = owner
    for depth, part in enumerate(where):
        plain: Any = _unwrapped(hint)[0]
        if isinstance(part, int) and get_origin(plain) is tuple:
            items = get_args(plain)
            hint = items[0] if items[-1] is Ellipsis else items[min(part, len(items) - 1)]
        elif isinstance(part, str) and part in (known := _hints_within(plain)):
            hint = known[part]
        else:
            return hint, where[:depth]
    return hint, where


def _hints_within(plain: Any) -> dict[str, Any]:
    return hints_of(plain) if isinstance(plain, type) and is_dataclass(plain) else {}


def _path(where: tuple[str | int, ...]) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _root(path: str) -> str:
    return path.partition("[")[0].partition(".")[0]


def _endless(value: object) -> bool:
    # Infinity, NaN, and the texts that float() would read as such
    try:
        return not math.isfinite(float(value))  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        return False
    except OverflowError:
        return True
