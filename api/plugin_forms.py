"""The query string and the body of a plugin's route, into the frozen dataclasses that the route names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from stretto.host.errors import Fault, did_you_mean

from .fields import MISSING, checked, hints_of

__all__ = ["read_body", "read_query"]


def read_query(form: Any, params: Mapping[str, Sequence[str]]) -> tuple[Any, list[Fault]]:
    """Read a query string: of what is given several times the last counts, except where a field is a list.

    Gives the instance, or None and every fault.
    """
    lists = {name for name, hint in hints_of(form).items() if _plain(hint)[0] is tuple}
    given = {name: list(texts) if name in lists else texts[-1] for name, texts in params.items()}
    return _read(form, given)


def read_body(form: Any, body: Mapping[str, object]) -> tuple[Any, list[Fault]]:
    """Read a JSON body; gives the instance, or None and every fault."""
    return _read(form, body)


def _read(form: Any, given: Mapping[str, object]) -> tuple[Any, list[Fault]]:
    unknown = list(_unknown("", form, given))
    names = {field.name for field in fields(form)}
    read, faults = checked(form, {name: value for name, value in given.items() if name in names})
    # what has a fault of its own is left out above, and not missing
    found = [fault for fault in faults if not (fault.message.startswith(MISSING) and fault.field in given)]
    return (None, [*found, *unknown]) if found or unknown else (read, [])


def _unknown(where: str, hint: Any, value: object) -> Iterator[Fault]:
    """Find keys that a dataclass does not have, at every depth."""
    origin, kind = _plain(hint)
    if origin is tuple and isinstance(value, list):
        for i, item in enumerate(value):
            yield from _unknown(f"{where}[{i}]", get_args(kind)[0], item)
    elif isinstance(value, Mapping) and is_dataclass(kind):
        hints = hints_of(kind)  # type: ignore[arg-type]  # is_dataclass narrows to instances
        for key, inner in value.items():
            path = f"{where}.{key}" if where else str(key)
            if key in hints:
                yield from _unknown(path, hints[key], inner)
            else:
                yield Fault(field=path, message=f"is not known here; {did_you_mean(str(key), list(hints))}")


def _plain(hint: Any) -> tuple[Any, Any]:
    """Give the origin and the type of a field without bounds and None."""
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint = hint.__origin__
        elif origin in (Union, UnionType):
            hint = next(arm for arm in get_args(hint) if arm is not NoneType)
        else:
            return origin, hint
