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


class Contract:
    """One document, closed: of the built-in routes, or what a server with plugins says of itself."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = deepcopy(document)  # its parts are constants that others read
        for shape in self.document["components"]["schemas"].values():
            close(shape)
        self._operations = self._by_pattern()
        self._validators: dict[tuple[str, str, str, str], Any] = {}

    def _by_pattern(self) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
        """Give paths as patterns, those with fewer parts to fill in first, as the router has them."""
        longer = {route.path for route in ROUTES if ":path>" in route.path}
        paths = {re.sub(r"<(\w+)(:path)?>", r"{\1}", path) for path in longer}
        found = []
        for path, item in self.document["paths"].items():
            part = ".+" if path in paths else "[^/]+"
            found.append((re.compile(re.sub(r"\\\{\w+\\\}", part, re.escape(path))), item))
        return sorted(found, key=lambda entry: entry[0].pattern.count("+"))

    def operation(self, method: str, target: str) -> tuple[str, dict[str, Any]] | None:
        """Give the call that a request is, with its path's pattern; None without one."""
        path = urlsplit(target).path.rstrip("/")
        known = [(pattern.pattern, item) for pattern, item in self._operations if pattern.fullmatch(path)]
        if not known or method.lower() not in known[0][1]:
            return None
        return known[0][0], known[0][1][method.lower()]

    def answer(self, operation: dict[str, Any], status: int) -> dict[str, Any] | None:
        """Give what is said of a status; a plugin's calls have words for all others."""
        answers = operation["responses"]
        found = answers.get(str(status), answers.get("default"))
        if found and "$ref" in found:
            return self.document["components"]["responses"][found["$ref"].rpartition("/")[2]]
        return found

    def validator(self, method: str, pattern: str, status: int, media_type: str, schema: Any) -> Any:
        key = (method, pattern, str(status), media_type)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[key]


@lru_cache(maxsize=1)
def built_in() -> Contract:
    return Contract(openapi(ROUTES, "1", NAMES))


def deviations(
    method: str,
    target: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    contract: Contract | None = None,
) -> Iterator[str]:
    """Say in what an answer is not as documented; nothing of what the document has no call for."""
    contract = contract or built_in()
    known = contract.operation(method, target)
    if method in UNSEEN or known is None:
        return
    path, (pattern, operation) = urlsplit(target).path.rstrip("/"), known
    answer = contract.answer(operation, status)
    if answer is None:
        yield f"{method} {path} answered {status}, documented are {', '.join(operation['responses'])}"
        return
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if "content" not in answer:
        return
    if media_type not in answer["content"]:
        yield f"{method} {path} answered {status} as {media_type}, documented are {list(answer['content'])}"
    elif media_type.endswith("json"):
        schema = answer["content"][media_type]["schema"]
        check = contract.validator(method, pattern, status, media_type, schema)
        for error in check.iter_errors(json.loads(body)):
            place = "/".join(str(part) for part in error.instance_path)
            yield f"{method} {path} answered {status}: {place}: {error.message[:400]}"
