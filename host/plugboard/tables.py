"""A TOML table -> a frozen dataclass, strictly: unknown keys and wrong types are errors with a way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from ..errors import ConfigurationError, did_you_mean

__all__ = ["read_table"]

T = TypeVar("T")
_PLAIN: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def read_table(values: Mapping[str, Any], into: type[T], where: str) -> T:
    """Read `values` into the dataclass `into`; `where` opens every message (`plugins.toml: [host]`).

    Fields may be bool, int, float, str, Path, Literal, `X | None`, `tuple[X, ...]` and Annotated with
    bounds of annotated_types. Raises ConfigurationError naming the key and the nearest known key.
    """
    if not is_dataclass(into):
        raise ConfigurationError(f"{where} is read into {into.__name__}, which is no dataclass")
    hints = get_type_hints(into, include_extras=True)
    known = [field.name for field in fields(into) if field.init]
    for key in values:
        if key not in known:
            raise ConfigurationError(f"{where} has no key '{key}'; {did_you_mean(key, known)}")
    for field in fields(into):
        required = field.default is MISSING and field.default_factory is MISSING
        if field.init and required and field.name not in values:
            raise ConfigurationError(f"{where} needs the key '{field.name}'")
    read = {key: _read(value, hints[key], f"{where} {key}") for key, value in values.items()}
    made: T = into(**read)
    return made


def _read(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin is Annotated:
        return _bounded(_read(value, hint.__origin__, where), hint.__metadata__, where)
    if origin is Literal:
        return _one_of(value, get_args(hint), where)
    if origin in (Union, UnionType):
        return _any_of(value, [arm for arm in get_args(hint) if arm is not NoneType], where)
    if origin is tuple:
        return _list_of(value, get_args(hint)[0], where)
    if hint is Path:
        return Path(_plain(value, str, where))
    return _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:
    if hint not in _PLAIN:
        raise ConfigurationError(f"{where} is declared as {hint!r}, a type that no TOML value is read into")
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:  # bool is an int to isinstance
        raise ConfigurationError(f"{where} must be {_PLAIN[hint]}, not {value!r}")
    return value


def _bounded(value: Any, bounds: tuple[Any, ...], where: str) -> Any:
    for bound in bounds:
        match bound:
            case Ge(ge=least) if value < least:
                raise ConfigurationError(f"{where} must be at least {least}, not {value!r}")
            case Gt(gt=least) if value <= least:
                raise ConfigurationError(f"{where} must be above {least}, not {value!r}")
            case Le(le=most) if value > most:
                raise ConfigurationError(f"{where} must be at most {most}, not {value!r}")
            case Lt(lt=most) if value >= most:
                raise ConfigurationError(f"{where} must be below {most}, not {value!r}")
            case _:
                pass  # within this bound, or a note that is no bound
    return value


def _one_of(value: Any, words: tuple[Any, ...], where: str) -> Any:
    if value not in words or type(value) not in {type(word) for word in words}:
        hint = did_you_mean(str(value), [str(word) for word in words])
        raise ConfigurationError(f"{where} cannot be {value!r}; {hint}")
    return value


def _any_of(value: Any, arms: list[Any], where: str) -> Any:
    refusals = []
    for arm in arms:
        try:
            return _read(value, arm, where)
        except ConfigurationError as refusal:
            refusals.append(str(refusal))
    raise ConfigurationError("; ".join(refusals))


def _list_of(value: Any, item: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where} must be a list, not {value!r}")
    return tuple(_read(entry, item, f"{where}[{i}]") for i, entry in enumerate(value))
