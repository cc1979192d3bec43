"""A table of TOML or JSON -> a frozen dataclass, strictly: unknown keys and wrong types are errors with a way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf

from ..errors import ConfigurationError, PluginError, StrettoError, did_you_mean
from .culprit import reason

__all__ = ["read_table", "read_value"]

T = TypeVar("T")
_PLAIN: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def read_table(values: Mapping[str, Any], into: type[T], where: str) -> T:
    """Read `values` into the dataclass `into`; `where` opens every message (`plugins.toml: [host]`).

    Fields may be bool, int, float, str, Path, Literal, `X | None`, `tuple[X, ...]`, `tuple[X, Y]`, another
    dataclass, and Annotated with bounds of annotated_types. Raises ConfigurationError naming the key and the
    nearest known key, and for what the dataclass itself refuses with a ValueError; PluginError for anything else that
    it raises.
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
    read = {key: read_value(value, hints[key], f"{where} {key}") for key, value in values.items()}
    try:
        made: T = into(**read)
    except ValueError as error:
        raise ConfigurationError(f"{where} cannot be so: {error}") from error
    except StrettoError:
        raise
    except Exception as error:
        said = f"{where} cannot be read, as {into.__name__} raised {reason(error)}"
        raise PluginError(f"{said}; its author should refuse values with a ValueError") from error
    return made


def read_value(value: Any, hint: Any, where: str) -> Any:
    """Read one value into a field that is annotated by `hint`; raises ConfigurationError as `read_table` does."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _bounded(read_value(value, hint.__origin__, where), hint.__metadata__, where)
    if origin is Literal:
        return _one_of(value, get_args(hint), where)
    if origin in (Union, UnionType):
        return _any_of(value, get_args(hint), where)
    if origin is tuple:
        return _list_of(value, get_args(hint), where)
    return _table_of(value, hint, where) if is_dataclass(hint) else _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:
    if hint is Path:
        return Path(_plain(value, str, where))
    if hint not in _PLAIN:
        raise ConfigurationError(f"{where} is declared as {hint!r}, a type that no TOML value is read into")
    if hint is float and type(value) is int:
        return float(value)
    if hint is float and value != value:  # no bound holds for NaN  # noqa: PLR0124
        raise ConfigurationError(f"{where} must be {_PLAIN[hint]}, not {value!r}")
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
            case MinLen(min_length=least) if len(value) < least:
                raise ConfigurationError(f"{where} must have at least {least} of them, not {len(value)}")
            case MaxLen(max_length=most) if len(value) > most:
                raise ConfigurationError(f"{where} must have at most {most} of them, not {len(value)}")
            case MultipleOf(multiple_of=step) if value % step:
                raise ConfigurationError(f"{where} must be a multiple of {step}, not {value!r}")
            case _:
                pass  # within this bound, or a note that is no bound
    return value


def _one_of(value: Any, words: tuple[Any, ...], where: str) -> Any:
    if value not in words or type(value) not in {type(word) for word in words}:
        hint = did_you_mean(str(value), [str(word) for word in words])
        raise ConfigurationError(f"{where} cannot be {value!r}; {hint}")
    return value


def _any_of(value: Any, arms: tuple[Any, ...], where: str) -> Any:
    if value is None and NoneType in arms:  # JSON has it; TOML has not
        return None
    refusals = []
    for arm in (arm for arm in arms if arm is not NoneType):
        try:
            return read_value(value, arm, where)
        except ConfigurationError as refusal:
            refusals.append(str(refusal))
    raise ConfigurationError("; ".join(refusals))


def _list_of(value: Any, items: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where} must be a list, not {value!r}")
    if items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise ConfigurationError(f"{where} must be a list of {len(items)}, not of {len(value)}")
    return tuple(read_value(entry, items[i], f"{where}[{i}]") for i, entry in enumerate(value))


def _table_of(value: Any, into: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} must be a table, not {value!r}")
    return read_table(value, into, where)
