"""What plugins declare with `Settings` and `Parameters`: checked at the start, and read for an invocation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ..contracts.plan import Plan
from ..errors import ConfigurationError, Fault, InvalidRequestError, PluginError, did_you_mean
from .tables import read_table, read_value

if TYPE_CHECKING:
    from ..contracts.protocols import HostView
    from ..contracts.request import InvocationRequest
    from .board import Board

__all__ = [
    "check_declared",
    "declaration_fault",
    "parameters_of",
    "plain_values",
    "plan_through",
    "resolved_parameters",
]

Resolved = dict[str, dict[str, Any]]

_PLAIN = (bool, int, float, str, Path)


# what is declared


def check_declared(plugin: object) -> None:
    """Check a plugin's `Settings` and `Parameters`; raises PluginError for what the host could not read values into."""
    for word in ("Settings", "Parameters"):
        declared = getattr(plugin, word, None)
        if declared is not None:
            _check(declared, word, ())
    parameters: Any = getattr(plugin, "Parameters", None)
    if parameters is None:
        return
    for field in fields(parameters):
        if field.init and field.default is MISSING and field.default_factory is MISSING:
            raise PluginError(
                f"Parameters.{field.name} has no default; give it one, since a request may leave it out"
            )
    try:
        parameters()
    except Exception as error:
        raise PluginError(
            f"Parameters() raised {type(error).__name__}: {error}; its defaults must do"
        ) from error


def declaration_fault(plugin: object) -> str | None:
    """Say what `check_declared` has against a plugin; None if nothing."""
    try:
        check_declared(plugin)
    except PluginError as fault:
        return str(fault)
    return None


def _check(declared: Any, where: str, around: tuple[Any, ...]) -> None:
    if not isinstance(declared, type) or not is_dataclass(declared):
        raise PluginError(f"{where} is {declared!r}; it must be a frozen dataclass")
    if not declared.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # set by dataclass() itself
        raise PluginError(f"{where} is a dataclass that can be changed; write @dataclass(frozen=True)")
    if declared in around:
        raise PluginError(
            f"{where} is {declared.__name__} again, within itself; such a value would have no end"
        )
    try:
        hints = get_type_hints(declared, include_extras=True)
    except Exception as error:
        raise PluginError(
            f"the types of {where} cannot be read: {type(error).__name__}: {error}; import them outside TYPE_CHECKING"
        ) from error
    for field in fields(declared):
        if field.init:
            _check_type(hints[field.name], f"{where}.{field.name}", (*around, declared))


def _check_type(hint: Any, where: str, around: tuple[Any, ...]) -> None:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        _check_type(hint.__origin__, where, around)
    elif origin in (Union, UnionType):
        for arm in inner:
            if arm is not NoneType:
                _check_type(arm, where, around)
    elif origin is tuple and inner:
        for item in inner:
            if item is not Ellipsis:
                _check_type(item, f"{where}[]", around)
    elif isinstance(hint, type) and is_dataclass(hint):
        _check(hint, where, around)
    elif origin is not Literal and hint not in _PLAIN:
        raise PluginError(
            f"{where} is declared as {hint!r}, a type that no value of JSON or TOML is read into; use bool, int, float, "
            f"str, Path, Literal, tuple, a frozen dataclass, or one of them with `| None`"
        )


# what an invocation says


def parameters_of(board: Board, name: str) -> type | str:
    """Give the dataclass `Parameters` of a plugin that is on, or why there is none, as a fault says it."""
    rows = [row for row in board.rows() if row.name == name]
    if not rows:
        taking = [row.name for row in board.rows() if row.status == "on" and board.parameters(row.name)]
        return f"is no plugin here; {did_you_mean(name, taking) if taking else 'none here takes parameters'}"
    row = next((row for row in rows if row.status == "on"), rows[0])
    if row.status != "on":
        return f"is {row.status}: {row.reason}"
    return board.parameters(name) or "takes no parameters; leave it out"


def resolved_parameters(board: Board, asked: Mapping[str, Mapping[str, Any]]) -> Resolved:
    """Check `plugins: {NAME: {...}}` strictly and give it with every default filled in, as plain JSON values.

    Raises InvalidRequestError with every fault.
    """
    found: Resolved = {}
    faults: list[Fault] = []
    for name, values in asked.items():
        into = parameters_of(board, name)
        if isinstance(into, str):
            faults.append(Fault(field=f"plugins.{name}", message=into))
            continue
        wrong = _faults(name, values, into)
        faults += wrong
        if not wrong:
            try:
                found[name] = plain_values(read_table(values, into, f"plugins.{name}"))
            except ConfigurationError as error:
                message = str(error).removeprefix(f"plugins.{name} ")
                faults.append(Fault(field=f"plugins.{name}", message=message))
    if faults:
        raise InvalidRequestError(faults)
    return found


def plan_through(board: Board, request: InvocationRequest, host: HostView) -> Plan:
    """Have a request planned, with the parameters of its plugins in full, which the plan records.

    Raises InvalidRequestError for parameters that are wrong, and what `build_plan` raises.
    """
    if request.plugins:
        request = replace(request, plugins=resolved_parameters(board, request.plugins))
    plan = board.first("build_plan", Plan, request=request, host=host)
    if not isinstance(plan, Plan):
        raise PluginError(f"build_plan gave {type(plan).__name__}; it must give a Plan, or None to pass")
    if set(request.plugins) - set(plan.plugins):  # a plugin's own plan, made without them
        plan = replace(plan, plugins={**request.plugins, **plan.plugins})
    return plan


def _faults(name: str, values: Mapping[str, Any], into: type) -> list[Fault]:
    """Find what is wrong with each value by itself; what does not go together is told of all of them."""
    known = [field.name for field in fields(into) if field.init]
    hints = get_type_hints(into, include_extras=True)
    found = []
    for key, value in values.items():
        where = f"plugins.{name}.{key}"
        if key not in known:
            found.append(Fault(field=where, message=f"is not known here; {did_you_mean(key, known)}"))
            continue
        try:
            read_value(value, hints[key], f"plugins.{name} {key}")
        except ConfigurationError as error:
            found.append(Fault(field=where, message=str(error).removeprefix(f"plugins.{name} {key} ")))
    return found


def plain_values(value: Any) -> Any:
    """Give a value of a declared type as JSON has it: dataclasses as objects, tuples as lists, paths as text."""
    if is_dataclass(value):
        return {one.name: plain_values(getattr(value, one.name)) for one in fields(value) if one.init}
    if isinstance(value, (tuple, list)):
        return [plain_values(item) for item in value]
    return str(value) if isinstance(value, Path) else value
