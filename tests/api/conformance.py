"""Holds every answer that a test gets against the OpenAPI document: status, media type and, closed, its schema.

Closed means that keys which the document does not name are refused, so that it stays complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
from stretto.api.openapi import openapi
from stretto.api.routes import ROUTES

NAMES = tuple((kind, ()) for kind in ("schedulers", "controlnets", "upscalers", "vaes"))
UNSEEN = ("HEAD", "OPTIONS")


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    made = deepcopy(openapi(ROUTES, "1", NAMES))  # its parts are constants that others read
    for shape in made["components"]["schemas"].values():
        close(shape)
    return made


def close(shape: Any) -> None:
    """Refuse keys that an object's schema does not name, at every depth."""
    if isinstance(shape, dict):
        if isinstance(shape.get("properties"), dict):
            shape.setdefault("additionalProperties", False)
        for one in shape.values():
            close(one)
    elif isinstance(shape, list):
        for one in shape:
            close(one)


@lru_cache(maxsize=1)
def operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Give paths as patterns, those with fewer parts to fill in first, as the router has them."""
    longer = {route.path for route in ROUTES if ":path>" in route.path}
    paths = {re.sub(r"<(\w+)(:path)?>", r"{\1}", path) for path in longer}
    found = []
    for path, item in document()["paths"].items():
        part = ".+" if path in paths else "[^/]+"
        found.append((re.compile(re.sub(r"\\\{\w+\\\}", part, re.escape(path))), item))
    return sorted(found, key=lambda entry: entry[0].pattern.count("+"))


@lru_cache(maxsize=256)
def validator(method: str, pattern: str, status: str, media_type: str) -> Any:
    item = next(item for known, item in operations() if known.pattern == pattern)
    answer = item[method.lower()]["responses"][status]
    if "$ref" in answer:
        answer = document()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer["content"][media_type]["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, "components": document()["components"]})


def deviations(
    method: str, target: str, status: int, headers: Mapping[str, str], body: bytes
) -> Iterator[str]:
    """Say in what an answer is not as documented; nothing of what the document has no call for."""
    path = urlsplit(target).path.rstrip("/")
    known = [(pattern, item) for pattern, item in operations() if pattern.fullmatch(path)]
    if method in UNSEEN or not known or method.lower() not in known[0][1]:
        return
    pattern, item = known[0]
    answers = item[method.lower()]["responses"]
    if str(status) not in answers:
        yield f"{method} {path} answered {status}, documented are {', '.join(answers)}"
        return
    media_type = headers.get("Content-Type", "").partition(";")[0]
    answer = answers[str(status)]
    if "$ref" in answer:
        answer = document()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    if "content" not in answer:
        return
    if media_type not in answer["content"]:
        yield f"{method} {path} answered {status} as {media_type}, documented are {list(answer['content'])}"
    elif media_type.endswith("json"):
        check = validator(method, pattern.pattern, str(status), media_type)
        for error in check.iter_errors(json.loads(body)):
            place = "/".join(str(part) for part in error.instance_path)
            yield f"{method} {path} answered {status}: {place}: {error.message[:400]}"
