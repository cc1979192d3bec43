"""Which errors every route can answer with, by status; nothing else is answered by it."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from .access import ANYBODY
from .envelope import MEDIA_TYPE
from .json_schema import WHOLE, Shape, ref
from .problems import PROBLEM_TYPE, PROBLEMS, problem_title, problem_uri, problem_words
from .routing import Route

__all__ = ["error_responses", "responses_of"]

READS_BODY = ("POST", "PUT", "PATCH")
FILES = "/api/invocation/"
# (method, path) -> statuses beside those that follow from access, path and body
OWN: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "/readyz"): (503,),
    ("POST", "/api/login"): (401, 429, 503),
    ("POST", "/login"): (401, 429, 503),
    ("POST", "/api/models"): (409,),
    ("PATCH", "/api/models/<name>"): (409,),
    ("PATCH", "/api/plugins/<name>"): (409,),
    ("POST", "/api/invoke"): (404, 422, 429, 501),
    ("POST", "/api/plan"): (404, 501),
    ("POST", "/api/models/<name>/tensorrt/<network>"): (429, 501),
    ("POST", "/api/invocation/stop"): (403, 404),
    ("GET", "/api/invocation/<uuid>"): (410,),
    ("DELETE", "/api/invocation/<uuid>"): (409, 410),
    ("GET", "/api/invocation-history/<uuid>"): (410,),
    ("DELETE", "/api/invocation-history/<uuid>"): (409, 410),
    ("GET", "/api/invocation/<uuid>/events"): (410, 503),
    ("POST", "/api/settings"): (409,),
    ("POST", "/api/download"): (409, 429),
    ("POST", "/api/installation/<directory>"): (409,),
    ("DELETE", "/api/tensorrt/<model>/<type>/<key>"): (409,),
    ("GET", "/api/civitai/<kind>"): (429, 502),
}
AGAIN: Shape = {"Retry-After": {"description": "seconds", "schema": WHOLE}}
LOGIN: Shape = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
HEADERS = {401: LOGIN, 429: AGAIN, 503: AGAIN}
PICTURES = ("images", "intermediates", "thumbnails")
OF_PICTURES: dict[str, Shape] = {
    "206": {"description": "The part that `Range` asks for."},
    "304": {"description": "As `If-None-Match` or `If-Modified-Since` has it."},
    "416": {"description": "No part of it is where `Range` asks."},
}


def responses_of(route: Route) -> dict[str, Shape]:
    """Give the answers of a route beside 200, by status."""
    found = {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in _statuses(route)}
    return {**(OF_PICTURES if _is_picture(route) else {}), **found}


def _statuses(route: Route) -> list[int]:
    return sorted({*_implied(route), *OWN.get((route.method, route.path), ())})


def _implied(route: Route) -> Iterator[int]:
    yield HTTPStatus.BAD_REQUEST
    if route.needs is not ANYBODY:
        yield HTTPStatus.UNAUTHORIZED
        yield HTTPStatus.SERVICE_UNAVAILABLE  # the database is away
    if route.needs.level == "admin":
        yield HTTPStatus.FORBIDDEN
    if "<" in route.path:
        yield HTTPStatus.NOT_FOUND
    if route.method in READS_BODY:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _is_picture(route: Route) -> bool:
    return route.path.startswith(tuple(f"{FILES}{kind}/" for kind in PICTURES))


def error_responses() -> dict[str, Shape]:
    """Give the shared answers, one a status of errors, each with its titles and types."""
    statuses = sorted({kind.status for kind in PROBLEMS.values()})
    return {_name(status): _response(status) for status in statuses}


def _name(status: int) -> str:
    return f"Error{int(status)}"


def _response(status: int) -> Shape:
    kinds = {slug: kind for slug, kind in PROBLEMS.items() if kind.status == status}
    words = "; ".join(f"{problem_title(slug)}: {problem_words(kind)}" for slug, kind in kinds.items())
    made: Shape = {
        "description": words,
        "x-problem-types": [problem_uri(kind) for kind in kinds.values()],
        "content": {
            MEDIA_TYPE: {"schema": ref("Errors")},
            PROBLEM_TYPE: {"schema": ref("Problem")},
        },
    }
    return {**made, "headers": HEADERS[status]} if status in HEADERS else made
