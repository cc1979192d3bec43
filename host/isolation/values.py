"""Values that cross the pipe to an isolated plugin: JSON, read back strictly by the types of our dataclasses.

Nothing is pickled: what comes from a plugin's process makes only values of the types that are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .. import errors
from ..contracts import costs, events
from ..contracts.plain import plain
from ..errors import Fault, InvalidRequestError, PluginError, StrettoError

__all__ = ["error_from", "error_json", "event_from", "event_json", "packed", "read_as", "unpacked"]

T = TypeVar("T")
_EVENTS = {
    kind.__name__: kind
    for module in (events, costs)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, events.Event)
}


def packed(message: Mapping[str, Any]) -> bytes:
    """Give a message as it goes over the pipe; raises TypeError for a value that JSON has not."""
    return json.dumps(plain(dict(message)), default=_mapping).encode()


def unpacked(sent: bytes) -> dict[str, Any]:
    """Give the message of `packed`; raises PluginError for bytes that are none."""
    try:
        message = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise PluginError(f"sent what is no message: {sent[:80]!r}") from error
    if not isinstance(message, dict):
        raise PluginError(f"sent {type(message).__name__}, and messages are objects")
    return message


def _mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(dict(value))
    raise TypeError(
        f"{type(value).__name__} cannot cross to or from a plugin's process; give numbers, strings, lists and mappings"
    )


def read_as(hint: Any, value: Any, where: str) -> Any:
    """Read a JSON value as the type `hint`; raises PluginError naming the part that is of another type."""
    origin, arms = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is None:
        return _dataclass(hint, value, where) if is_dataclass(hint) else _plain(hint, value, where)
    read = _READERS.get(origin)
    if read is None:
        raise PluginError(f"{where} is declared as {hint!r}, a type that is not sent to plugins' processes")
    return read(arms, value, where)


def _plain(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        words = [str(one) for one in hint]
        _checked(isinstance(value, str) and value in words, value, value, f"{where} must be one of {words}")
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    wanted = NoneType if hint is None else hint
    return _checked(type(value) is wanted, value, value, f"{where} must be {wanted.__name__}")


def _checked(holds: bool, value: T, said: Any, wanted: str) -> T:
    if not holds:
        raise PluginError(f"{wanted}, not {said!r:.200}")
    return value


def _annotated(arms: tuple[Any, ...], value: Any, where: str) -> Any:
    return read_as(arms[0], value, where)


def _literal(arms: tuple[Any, ...], value: Any, where: str) -> Any:
    return _checked(value in arms, value, value, f"{where} must be one of {arms}")


def _mapped(arms: tuple[Any, ...], value: Any, where: str) -> dict[str, Any]:
    _checked(isinstance(value, dict), value, value, f"{where} must be an object")
    return {key: read_as(arms[1], item, f"{where}.{key}") for key, item in value.items()}


def _one_of(arms: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and NoneType in arms:
        return None
    refusals = []
    for arm in arms:
        if arm is NoneType:
            continue
        try:
            return read_as(arm, value, where)
        except PluginError as refusal:
            refusals.append(str(refusal))
    raise PluginError("; ".join(refusals))


def _tuple(arms: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _checked(isinstance(value, list), value, value, f"{where} must be a list")
    if len(arms) == 2 and arms[1] is Ellipsis:  # noqa: PLR2004 - `tuple[X, ...]`
        return tuple(read_as(arms[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    _checked(len(value) == len(arms), value, value, f"{where} must have {len(arms)} items")
    return tuple(
        read_as(arm, item, f"{where}[{i}]") for i, (arm, item) in enumerate(zip(arms, value, strict=True))
    )


_READERS: Mapping[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _one_of,
    UnionType: _one_of,
    tuple: _tuple,
    dict: _mapped,
    Mapping: _mapped,
}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    _checked(isinstance(value, dict), value, value, f"{where} must be an object")
    hints = _hints(kind)
    unknown = sorted(set(value) - set(hints))
    _checked(not unknown, value, unknown, f"{where} has fields of {kind.__name__} only")
    needed = [
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING and field.name not in value
    ]
    _checked(not needed, value, sorted(value), f"{where} needs {needed}")
    return kind(**{name: read_as(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def event_json(event: events.Event) -> dict[str, Any]:
    """Give an event with its kind; what a plugin made of its own goes as `Event`."""
    kind = type(event).__name__ if type(event) in _EVENTS.values() else "Event"
    return {"kind": kind, "value": plain(event)}


def event_from(sent: Mapping[str, Any]) -> events.Event:
    """Give the event of `event_json`."""
    event: events.Event = read_as(_EVENTS[sent["kind"]], sent["value"], "event")
    return event


def error_json(error: StrettoError) -> dict[str, Any]:
    """Give one of our errors: its class and its words, and the faults of a request."""
    faults = error.faults if isinstance(error, InvalidRequestError) else ()
    known = next(kind for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
    return {"kind": known.__name__, "message": str(error), "faults": [plain(fault) for fault in faults]}


def error_from(sent: Mapping[str, Any]) -> StrettoError:
    """Give the error of `error_json`; raises PluginError for one that is not of our tree."""
    kind = getattr(errors, str(sent.get("kind")), None)
    if not isinstance(kind, type) or not issubclass(kind, StrettoError):
        raise PluginError(f"raised {sent.get('kind')!r:.80}, which is no error of stretto.host")
    if kind is InvalidRequestError:
        return InvalidRequestError(read_as(tuple[Fault, ...], sent.get("faults"), "faults"))
    return kind(str(sent.get("message")))
