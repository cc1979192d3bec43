"""This API as an OpenAPI 3.1 document: the routes, the dataclasses behind their bodies, and what plugins offer.

A route that is added to the table is in the document; what its body and its answer are is in `openapi_shapes` and
`openapi_answers`, which errors it has in `openapi_statuses`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .access import ANYBODY
from .envelope import json_text
from .openapi_answers import answer_of
from .openapi_plugins import plugin_paths, plugin_schemas, plugin_tags
from .openapi_shapes import Offered, body_of, query_of, schemas
from .openapi_statuses import error_responses, responses_of
from .plugin_parameters import Declared
from .plugin_routes import Offers
from .routing import Route

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["document_of", "offered", "openapi"]

PART = re.compile(r"<(\w+)(:path)?>")
ABOUT = (
    "Bodies are JSON objects, whatever their Content-Type says. Unless `auth` is on, no credentials are needed. "
    "HEAD is answered wherever GET is, OPTIONS everywhere, and a trailing slash makes no difference."
)


def offered(host: Host) -> Offered:
    """Give the names that plugins offer, aliases behind them, in the order of their kinds."""
    return tuple(
        (
            kind,
            tuple(dict.fromkeys([*found, *(alias for spec in found.values() for alias in _aliases(spec))])),
        )
        for kind in ("schedulers", "controlnets", "upscalers", "vaes")
        for found in [host.offers(kind)]
    )


def _aliases(spec: Any) -> Sequence[str]:
    found: Sequence[str] = getattr(spec, "aliases", ())
    return found


@lru_cache(maxsize=2)
def document_of(
    routes: tuple[Route, ...], version: str, names: Offered, plugged: Offers, declared: Declared
) -> bytes:
    """Write the document; the last two are kept."""
    return json_text(openapi(routes, version, names, plugged, declared)).encode()


def openapi(
    routes: Sequence[Route], version: str, names: Offered, plugged: Offers = (), declared: Declared = ()
) -> dict[str, Any]:
    """Make the document of some routes and offers; `plugged` are the routes of plugins, `declared` their parameters."""
    tags = _tags(routes)
    tags |= {name: words for name, words in plugin_tags(plugged).items() if name not in tags}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stretto",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in tags.items()],
        "paths": _paths(routes) | plugin_paths(plugged),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "enfugue_token"},
            },
            "responses": error_responses(),
            "schemas": schemas(names, declared) | plugin_schemas(plugged),
        },
    }


def _tag(route: Route) -> str:
    """Give the subject of a route."""
    return route.handle.__module__.rpartition(".")[2]


def _tags(routes: Sequence[Route]) -> dict[str, str]:
    found: dict[str, str] = {}
    for route in routes:
        words = inspect.getdoc(sys.modules[route.handle.__module__]) or ""
        found.setdefault(_tag(route), words.partition("\n")[0])
    return found


def _paths(routes: Sequence[Route]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    used: dict[str, int] = {}
    for route in routes:
        path = PART.sub(r"{\1}", route.path)
        name = route.handle.__name__
        used[name] = used.get(name, 0) + 1
        identity = name if used[name] == 1 else f"{name}_{used[name]}"
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, identity)
    return paths


def _operation(route: Route, identity: str) -> dict[str, Any]:
    words = inspect.getdoc(route.handle) or identity
    summary, _, more = words.partition("\n")
    made: dict[str, Any] = {
        "operationId": identity,
        "summary": summary,
        **({"description": more.strip()} if more.strip() else {}),
        "tags": [_tag(route)],
        "security": [] if route.needs is ANYBODY else [{}, {"bearer": []}, {"cookie": []}],
    }
    if route.needs.level == "admin":
        made["x-administrators-only"] = True
    if parameters := [*_path_parameters(route.path), *query_of(route.method, route.path)]:
        made["parameters"] = parameters
    if route.method in ("POST", "PUT", "PATCH"):
        made["requestBody"] = {"content": _content(body_of(route.method, route.path))}
    answer = {"description": "Done.", "content": _content(answer_of(route.method, route.path))}
    made["responses"] = {"200": answer, **responses_of(route)}
    return made


def _content(shapes: Mapping[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type, schema in shapes.items()}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name, rest in PART.findall(path):
        more = {"description": "may hold slashes"} if rest else {}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, **more}
