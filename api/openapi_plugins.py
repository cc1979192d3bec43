"""What the routes of plugins are in the OpenAPI document: parameters, bodies, answers, and a tag for each plugin."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from functools import partial
from typing import Any

from stretto.host.contracts.routes import RouteSpec

from .access import ANYBODY
from .envelope import MEDIA_TYPE
from .json_schema import TEXT, Shape, ref, thing
from .openapi_statuses import responses_of
from .plugin_routes import PART, Offers, access_of
from .problems import PROBLEM_TYPE
from .routing import Call, Data, Reply, Route

__all__ = ["plugin_paths", "plugin_schemas", "plugin_tags"]

UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")  # what a schema's name in a document has not
# what a handler raises of the host's errors is answered with its status
OTHERWISE: Shape = {
    "description": "What else the plugin refuses, by the status of its error; 500 where it failed.",
    "content": {MEDIA_TYPE: {"schema": ref("Errors")}, PROBLEM_TYPE: {"schema": ref("Problem")}},
}


def plugin_tags(offers: Offers) -> dict[str, str]:
    """Give what is said of each plugin."""
    return {owner: f"Routes of the plugin '{owner}'." for owner, _ in offers}


def plugin_schemas(offers: Offers) -> dict[str, Shape]:
    """Give the named schemas, which begin with their plugin's name."""
    return {name: shape for owner in _owners(offers) for name, shape in _shapes(owner, offers)[1].items()}


def plugin_paths(offers: Offers) -> dict[str, dict[str, Any]]:
    """Give the calls by path and method."""
    paths: dict[str, dict[str, Any]] = {}
    templates: dict[str, str] = {}  # without the parts' names -> as the first route has it
    for owner in _owners(offers):
        shapes, _ = _shapes(owner, offers)
        for spec in (spec for one, spec in offers if one == owner):
            template = templates.setdefault(PART.sub("<>", spec.path), spec.path)
            item = paths.setdefault(PART.sub(r"{\1}", template), {})
            item[spec.method.lower()] = _operation(owner, spec, template, shapes)
    return paths


def _owners(offers: Offers) -> tuple[str, ...]:
    return tuple(dict.fromkeys(owner for owner, _ in offers))


def _operation(owner: str, spec: RouteSpec, template: str, shapes: dict[Any, Shape]) -> dict[str, Any]:
    words = _words(spec.handle)
    access = access_of(spec)
    made: dict[str, Any] = {
        "operationId": _word(f"{owner}.{spec.name}"),
        "summary": spec.title or spec.name,
        **({"description": words} if words else {}),
        "tags": [owner],
        "security": [] if access is ANYBODY else [{}, {"bearer": []}, {"cookie": []}],
    }
    if access.level == "admin":
        made["x-administrators-only"] = True
    named: list[Shape] = [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in PART.findall(template)
    ]
    if parameters := [*named, *_query(shapes.get((spec.name, "query"), {}))]:
        made["parameters"] = parameters
    if spec.body is not None:
        needed = any(one.default is one.default_factory is MISSING for one in fields(spec.body))
        content = {"application/json": {"schema": shapes[spec.name, "body"]}}
        made["requestBody"] = {**({"required": True} if needed else {}), "content": content}
    route = Route(spec.method, spec.path, _nothing, access)
    made["responses"] = {"200": _answer(spec, shapes), **responses_of(route), "default": OTHERWISE}
    return made


def _words(handle: Any) -> str | None:
    while isinstance(handle, partial):
        handle = handle.func
    return inspect.getdoc(handle)


def _nothing(_call: Call) -> Reply:
    return Data(None)


def _query(form: Shape) -> Iterator[Shape]:
    required = form.get("required", ())
    for name, shape in form.get("properties", {}).items():
        bare = {key: value for key, value in shape.items() if key != "description"}
        said = {"description": shape["description"]} if "description" in shape else {}
        yield {"name": name, "in": "query", "required": name in required, "schema": bare, **said}


def _answer(spec: RouteSpec, shapes: dict[Any, Shape]) -> Shape:
    if isinstance(spec.answer, str):
        return {"description": "Done.", "content": {spec.answer: {"schema": TEXT}}}
    data = shapes.get((spec.name, "answer"), {})
    envelope = {"schema": thing("*", meta=ref("Meta"), data=data)}
    return {"description": "Done.", "content": {MEDIA_TYPE: envelope}}


def _shapes(owner: str, offers: Offers) -> tuple[dict[Any, Shape], dict[str, Shape]]:
    """Give the schema of each side of each route of one plugin, and those that these refer to, by name."""
    from pydantic import TypeAdapter

    made: dict[Any, Shape] = {}
    inputs: list[tuple[Any, Any, TypeAdapter[Any]]] = []
    for spec in (spec for one, spec in offers if one == owner):
        if spec.query is not None:
            made[spec.name, "query"] = _bare(TypeAdapter(spec.query).json_schema())
        if spec.body is not None:
            inputs.append(((spec.name, "body"), "validation", TypeAdapter(spec.body)))
        if spec.answer is not None and not isinstance(spec.answer, str):
            inputs.append(((spec.name, "answer"), "serialization", TypeAdapter(spec.answer)))
    prefix = _word(owner)
    found, whole = TypeAdapter.json_schemas(inputs, ref_template=ref(f"{prefix}.{{model}}")["$ref"])
    made |= {key: _bare(shape) for (key, _mode), shape in found.items()}
    return made, {f"{prefix}.{name}": _bare(shape) for name, shape in whole.get("$defs", {}).items()}


def _bare(shape: Shape) -> Shape:
    """Leave out the titles that pydantic makes of names, and close objects: unknown keys are refused."""
    made: Shape = {}
    for key, value in shape.items():
        if key == "properties":
            made[key] = {name: _bare(inner) for name, inner in value.items()}
        elif key != "title":
            made[key] = _bare_within(value)
    return {**made, "additionalProperties": False} if "properties" in made else made


def _bare_within(value: Any) -> Any:
    if isinstance(value, list):
        return [_bare_within(one) for one in value]
    return _bare(value) if isinstance(value, dict) else value


def _word(name: str) -> str:
    return UNNAMED.sub("_", name)
