"""The reference page of every call of the JSON API, read from its OpenAPI document."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from value_words import table

__all__ = ["api_parts"]

INTRO = """
Every call, with what it takes, what it answers and how it can fail; from [the OpenAPI document](openapi.json) of a
server with the bundled plugins. A server of yours shows its own at `/api/docs`. [The JSON API](http.md) says what holds
for all of them, [problem types](problems.md) what the errors mean.

`data` is what stands under that key of the answer; a name in it is a [schema](#schemas) below. `HEAD` is answered
wherever `GET` is. An error of 500, which no call lists, is a fault of the server.
"""
SCHEMAS = "## Schemas\n\nWhat bodies and answers are made of; `?` marks what may be left out."
Shape = Mapping[str, Any]


def api_parts(document: Mapping[str, Any]) -> list[str]:
    """Give the page's parts, in the order of the routes, then the schemas."""
    parts = [INTRO]
    for tag in document["tags"]:
        parts.append(f"## {tag['name']}\n\n{tag['description']}")
        parts.extend(
            _call(method, path, operation, document)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation["tags"]
        )
    schemas = document["components"]["schemas"]
    return [*parts, SCHEMAS, *(_schema(name, shape) for name, shape in schemas.items())]


def _call(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    lines = [f"### {method.upper()} `{path}`", "", operation["summary"]]
    if operation.get("x-administrators-only"):
        lines.append("Administrators only.")
    elif not operation["security"]:
        lines.append("Nobody has to log in for it.")
    lines.append("")
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{one['name']}`", one["in"], _words(one["schema"]), _cell(one.get("description", "")))
            for one in parameters
        ]
        lines += [table(("parameter", "in", "values", ""), rows), ""]
    if body := operation.get("requestBody"):
        kinds = ", ".join(f"`{kind}`" for kind in body["content"])
        shape = next(iter(body["content"].values()))["schema"]
        lines += [f"- body ({kinds}): {_words(shape)}"]
    lines += list(_answers(operation["responses"], document))
    return "\n".join(lines)


def _answers(responses: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    content = responses["200"]["content"]
    kind, answer = next(iter(content.items()))
    data = answer["schema"].get("properties", {}).get("data")
    yield f"- 200: `data` is {_words(data)}" if data is not None else f"- 200: `{kind}`"
    for status, one in responses.items():
        if status != "200" and "$ref" not in one:
            yield f"- {status}: {one['description']}"
    errors = [status for status, one in responses.items() if "$ref" in one]
    yield "- errors: " + ", ".join(f"{status} ({_types(status, document)})" for status in errors)


def _types(status: str, document: Mapping[str, Any]) -> str:
    shared = document["components"]["responses"][f"Error{status}"]
    return ", ".join(uri.rpartition("/")[2] for uri in shared["x-problem-types"])


def _schema(name: str, shape: Shape) -> str:
    lines = [f"### {name}", ""]
    if words := shape.get("description"):
        lines += [" ".join(words.split()), ""]
    if "properties" not in shape:
        return "\n".join([*lines, _words(shape)])
    required = shape.get("required", ())
    rows = [
        (
            f"`{key}`{'' if key in required else ' ?'}",
            _words(one),
            _default(one),
            _cell(one.get("description", "")),
        )
        for key, one in shape["properties"].items()
    ]
    return "\n".join([*lines, table(("key", "values", "default", ""), rows)])


def _default(shape: Shape) -> str:
    return f"`{json.dumps(shape['default'], ensure_ascii=False)}`" if "default" in shape else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _words(shape: Shape) -> str:
    """Say a schema in words, for a cell of a table."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in shape:
        return ", or ".join(dict.fromkeys(_words(one) for one in shape["anyOf"]))
    if "enum" in shape:
        return ", ".join(f"`{json.dumps(one)}`" for one in shape["enum"])
    if "const" in shape:
        return f"`{json.dumps(shape['const'])}`"
    kinds = shape.get("type", "anything")
    return _typed(shape, kinds if isinstance(kinds, str) else " or ".join(kinds))


def _typed(shape: Shape, kind: str) -> str:
    if "items" in shape:
        return f"{kind.replace('array', 'list')} of {_words(shape['items'])}"
    if "properties" in shape:
        return f"object ({', '.join(f'`{key}`' for key in shape['properties'])})"
    if isinstance(shape.get("additionalProperties"), Mapping):
        return f"object, each {_words(shape['additionalProperties'])}"
    low, high = shape.get("minimum"), shape.get("maximum")
    longest = f" up to {shape['maxLength']} characters" if "maxLength" in shape else ""
    bounds = (f" from {low}" if low is not None else "") + (f" to {high}" if high is not None else "")
    return {"string": "text"}.get(kind, kind) + bounds + longest
