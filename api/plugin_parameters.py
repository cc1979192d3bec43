"""`plugins: {NAME: {...}}` of a body: checked with every fault, as JSON Schema, and from NAME=VALUE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import (
    Fault,
    InvalidRequestError,
    NotFoundError,
    PluginError,
    StrettoError,
    UnsupportedError,
)
from stretto.host.plugboard.parameters import parameters_of, plain_values, resolved_parameters

from .fields import shown
from .json_schema import NULL, Shape
from .plugin_forms import read_body

if TYPE_CHECKING:
    from stretto.host.plugboard.board import Board
    from stretto.host.runtime.host import Host

__all__ = [
    "PREFIX",
    "Declared",
    "by_plugin",
    "check_recorded",
    "declared_parameters",
    "merged",
    "parameters_schema",
    "plan_with_parameters",
    "read_parameters",
]

# plugin -> its dataclass `Parameters`
Declared = tuple[tuple[str, type], ...]
PREFIX = "plugins."


# checked


def plan_with_parameters(
    host: Host,
    request: InvocationRequest,
    plan: Callable[[InvocationRequest], Plan],
    blamed: Callable[[Fault], Fault] = lambda fault: fault,
) -> Plan:
    """Plan a request once the parameters of plugins are checked; their faults and planning's come together.

    `blamed` gives a fault of theirs as it is to be told. Raises InvalidRequestError with all of them, and what
    `plan` raises.
    """
    if not request.plugins:
        return plan(request)
    host.look()
    read, found = read_parameters(request.plugins, host.board)
    faults = [blamed(fault) for fault in found]
    try:
        planned = plan(replace(request, plugins=read))
    except InvalidRequestError as error:
        raise InvalidRequestError([*error.faults, *faults]) from error
    except NotFoundError as unknown:
        if not faults:
            raise
        raise InvalidRequestError([Fault(field="model", message=str(unknown)), *faults]) from unknown
    except UnsupportedError as error:  # told when the rest is in order
        if not faults:
            raise
        raise InvalidRequestError(faults) from error
    if faults:
        raise InvalidRequestError(faults)
    return planned


def by_plugin(value: object) -> tuple[dict[str, Any], list[Fault]]:
    """Give what a body says of each plugin, not checked any further; null says nothing."""
    if not isinstance(value, Mapping):
        return {}, [
            Fault(field="plugins", message=f"{shown(value)} is not an object with a key for each plugin")
        ]
    return {name: given for name, given in value.items() if given is not None}, []


def read_parameters(
    asked: Mapping[str, object], board: Board
) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """Give the parameters without faults, defaults filled in, by plugin; and every fault. null means default."""
    read: dict[str, dict[str, Any]] = {}
    faults: list[Fault] = []
    for name, values in asked.items():
        where = f"{PREFIX}{name}"
        into = parameters_of(board, name)
        if isinstance(into, str):
            faults.append(Fault(field=where, message=into))
        elif not isinstance(values, Mapping):
            faults.append(Fault(field=where, message=f"{shown(values)} is not an object with its parameters"))
        else:
            made, found = _read(name, into, _without_nulls(values))
            faults += [_within(where, fault) for fault in found]
            if not found:
                read[name] = plain_values(made)
    return read, faults


def _read(name: str, into: type, values: Mapping[str, object]) -> tuple[Any, list[Fault]]:
    try:
        return read_body(into, values)
    except StrettoError:
        raise
    except Exception as error:
        raise PluginError(
            f"the plugin '{name}' raised {type(error).__name__} in Parameters: {error}; a ValueError says that values "
            "do not go together"
        ) from error


def _within(where: str, fault: Fault) -> Fault:
    return Fault(field=f"{where}.{fault.field}" if fault.field else where, message=fault.message)


def _without_nulls(value: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _without_nulls(inner) if isinstance(inner, Mapping) else inner
        for key, inner in value.items()
        if inner is not None
    }


def check_recorded(host: Host, plan: Plan) -> Plan:
    """Give a recorded plan if the plugins of its parameters are on and take them; raises InvalidRequestError if not."""
    if plan.plugins:
        resolved_parameters(host.board, plan.plugins)
    return plan


# from NAME=VALUE


def merged(assignments: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Put `plugins.NAME.KEY` among other names where a body has it; of the same name twice the last counts."""
    body: dict[str, Any] = {}
    for path, value in assignments:
        *parents, key = path.split(".") if path.startswith(PREFIX) else [path]
        at = body
        for parent in parents:
            inner = at.get(parent)
            at[parent] = dict(inner) if isinstance(inner, dict) else {}
            at = at[parent]
        at[key] = value
    return body


# as JSON Schema


def declared_parameters(host: Host) -> Declared:
    """Give the plugins that are on and take parameters, by name."""
    on = sorted(row.name for row in host.plugins() if row.status == "on")
    return tuple((name, into) for name in on if (into := host.board.parameters(name)) is not None)


def parameters_schema(declared: Declared) -> Shape:
    """Give the schema of `plugins`: an object for each plugin that takes parameters, and nothing else."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {name: {"anyOf": [_strict(into), NULL]} for name, into in declared},
                "additionalProperties": False,
            },
            NULL,
        ],
        "default": {},
    }


@cache
def _strict(into: type) -> Shape:
    from pydantic import TypeAdapter

    schema = TypeAdapter(into).json_schema()
    parts = schema.pop("$defs", {})
    made: Shape = _spelt_out(schema, parts)
    return made


def _spelt_out(schema: Any, parts: Mapping[str, Shape]) -> Any:
    """Put in what is referred to; objects take no other keys, and null stands for any default."""
    if isinstance(schema, list):
        return [_spelt_out(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_spelt_out(parts[schema["$ref"].rpartition("/")[2]], parts), **beside}
    if "properties" not in schema:
        return {key: value if key == "default" else _spelt_out(value, parts) for key, value in schema.items()}
    fields = {name: _or_null(_spelt_out(field, parts)) for name, field in schema["properties"].items()}
    return {**deepcopy(schema), "properties": fields, "additionalProperties": False}


def _or_null(field: Shape) -> Shape:
    """Give the schema of a field that takes null as well."""
    arms = field.get("anyOf")
    about: Shape = {key: field[key] for key in ("default", "description") if key in field}
    if arms is None:
        arms = [{key: value for key, value in field.items() if key not in ("title", *about)}]
    return {"anyOf": [*arms, *([] if NULL in arms else [NULL])], **about}
