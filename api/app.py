"""The Bottle application: routes, the wire rules that hold everywhere, and errors into the envelope."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

import bottle
from stretto.host.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PayloadTooLargeError,
    TooManyRequestsError,
    UnavailableError,
)

from .access import ANYBODY, NO_AUTH, User, grant
from .auth import COOKIE, cookie_of
from .conditional import etag_of, settled
from .envelope import CORS, MEDIA_TYPE, errors_of, failure, json_text, success
from .fields import shown
from .outages import outage
from .plugin_routes import PluginRoutes
from .problems import PROBLEM_TYPE, problem, wants_problem
from .request_ids import REQUEST_ID, request_id
from .routes import ROUTES
from .routing import (
    Call,
    Data,
    FileReply,
    JsonReply,
    RawReply,
    Reply,
    Route,
    Services,
    StreamReply,
    services_of,
)
from .store import PonyJobStore
from .telemetry import UNROUTED

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["build_app", "too_large"]

_log = logging.getLogger(__name__)

MAX_QUERY_FIELDS = 1000
BEYOND = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
SENT = "stretto.sent"  # the body as it was read, where problem details find what they point at
# who calls what anybody may, where a token is needed for the rest
STRANGER = User(id=-1, username="", admin=False)


class _Farewell:
    """A Bottle plugin that lets answers end early when the application is closed."""

    api = 2

    def __init__(self, services: Services) -> None:
        self._services = services

    def apply(self, callback: Callable[..., Any], _route: object) -> Callable[..., Any]:
        """Leave a route as it is."""
        return callback

    def close(self) -> None:
        """Answer those who wait; idempotent."""
        self._services.waiting.close()
        self._services.events.close()
        self._services.downloads.close()


def build_app(host: Host, store: PonyJobStore, *, guarded: bool = False, seats: int = 4) -> bottle.Bottle:
    """Make the WSGI application over an open host and the store that it was opened with.

    A `guarded` one can be reached from other machines, so `auth` cannot be switched off. Of its
    threads, `seats` may wait for pictures.
    """
    services = services_of(host, store, guarded=guarded, seats=seats)
    services.events.start()
    host.listen(services.events.hear)
    host.listen(services.telemetry.hear)
    app = bottle.Bottle()
    app.install(_Farewell(services))
    app.add_hook("before_request", _enter)
    app.default_error_handler = _unrouted(services)
    for route in ROUTES:
        app.route(route.path, route.method, callback=_counted(route, services))
    # last of all, so that none of the host's own paths is a plugin's
    app.route("/api/<_:path>", "ANY", callback=_plugged(services, PluginRoutes(host, seats - 1)))
    return app


def too_large(limit: int) -> PayloadTooLargeError:
    """Say that a body is over `limit` bytes."""
    return PayloadTooLargeError(
        f"The body has more than {limit} bytes (setting max_body_bytes); send smaller images, or fewer"
    )


def _enter() -> None:
    environ = bottle.request.environ
    if environ["REQUEST_METHOD"] == "OPTIONS":
        raise _response(200, b"", MEDIA_TYPE)
    try:
        environ["bottle.raw_path"].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as error:  # Bottle would leave out what is no text, and find another route
        raise bottle.HTTPError(HTTPStatus.NOT_FOUND) from error
    environ["PATH_INFO"] = environ["PATH_INFO"].rstrip("/") or "/"


def _counted(route: Route, services: Services) -> Callable[..., bottle.HTTPResponse]:
    answer, count = _callback(route, services), services.telemetry.route(route.method, route.path)

    def counted(**names: str) -> bottle.HTTPResponse:
        began = time.perf_counter()
        response = answer(**names)
        count(response.status_code, time.perf_counter() - began)
        return response

    return counted


def _plugged(services: Services, plugged: PluginRoutes) -> Callable[..., bottle.HTTPResponse]:
    unrouted = _unrouted(services)

    def answer(_: str) -> bottle.HTTPResponse:
        environ = bottle.request.environ
        found = plugged.find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if found is None:
            return unrouted(bottle.HTTPError(HTTPStatus.NOT_FOUND))
        route, names = found
        return _counted(route, services)(**names)

    return answer


def _unrouted(services: Services) -> Callable[[Any], bottle.HTTPResponse]:
    count = services.telemetry.route(UNROUTED, UNROUTED)

    def refused(error: Any) -> bottle.HTTPResponse:
        response = _router_error(error)
        count(response.status_code, 0.0)
        return response

    return refused


def _callback(route: Route, services: Services) -> Callable[..., bottle.HTTPResponse]:
    def answer(**names: str) -> bottle.HTTPResponse:
        try:
            environ = bottle.request.environ
            params = _params(environ.get("QUERY_STRING", ""))
            user = services.auth.caller(environ)
            if not route.admits(environ.get("HTTP_AUTHORIZATION", "")):
                grant(route.needs, user)
            limit = services.host.settings.max_body_bytes
            call = Call(
                services=services,
                user=user or STRANGER,
                params=params,
                names=names,
                read=lambda: _read(limit, route.max_body_bytes),
                address=environ.get("REMOTE_ADDR", ""),
                header=lambda name: environ.get(_variable(name)),
            )
            response = _translated(route.handle(call), params)
            return response if route.needs is ANYBODY else _marked(response, services, user)
        except Exception as error:  # noqa: BLE001  # the one place where errors become answers
            return _refusal(error)

    return answer


def _variable(header: str) -> str:
    """Give the name that WSGI has for a header (RFC 3875, 4.1)."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def _marked(response: bottle.HTTPResponse, services: Services, user: User | None) -> bottle.HTTPResponse:
    # Without authentication a client that keeps cookies is given one that says so.
    if user is NO_AUTH and COOKIE not in bottle.request.environ.get("HTTP_COOKIE", ""):
        response.add_header(*cookie_of(services.auth.noauth_token))
    return response


def _params(query: str) -> dict[str, list[str]]:
    # WSGI hands bytes over as latin-1; names and values are UTF-8.
    try:
        raw = parse_qs(
            query.encode("latin-1").decode("utf-8", "replace"),
            keep_blank_values=True,
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError as error:
        raise BadRequestError(f"The query string cannot be read ({error}); shorten it") from error
    return raw


def _read(limit: int, here: int | None) -> bytes:
    length = bottle.request.content_length
    if here is not None and not 0 <= length <= here:
        raise PayloadTooLargeError(
            f"The body has more than {here} bytes, or no length; here it is a few words"
        )
    if length > limit:
        raise too_large(limit)
    body: bytes = bottle.request.environ["wsgi.input"].read(limit + 1 if length < 0 else length)
    if len(body) > limit:
        raise too_large(limit)
    bottle.request.environ[SENT] = body
    return body


def _translated(reply: Reply, params: dict[str, list[str]]) -> bottle.HTTPResponse:
    match reply:
        case Data():
            body = success(params, json_text(reply.value), reply.count, in_meta=reply.in_meta)
            return _with(_response(200, body, MEDIA_TYPE), reply.headers)
        case JsonReply():
            body = success(params, reply.text, reply.count)
            return _with(_response(200, body, MEDIA_TYPE), reply.headers)
        case RawReply():
            return _aged(_response(200, reply.body, reply.media_type), reply.max_age_s)
        case FileReply():
            sent = _file(reply)
            return _aged(sent, None if sent.status_code == BEYOND else reply.max_age_s)
        case StreamReply():
            response = _response(200, reply.chunks, reply.media_type)
            response.set_header("Cache-Control", "no-store")
            return response


def _with(response: bottle.HTTPResponse, headers: Iterable[tuple[str, str]]) -> bottle.HTTPResponse:
    for name, value in headers:
        response.add_header(name, value)
    return response


def _file(reply: FileReply) -> bottle.HTTPResponse:
    # static_file sees to ranges, If-Modified-Since and HEAD
    etag = etag_of(reply.path)
    if etag is not None and settled(bottle.request.environ, etag):
        return _response(304, b"", reply.media_type, ETag=etag)
    if etag is not None and (asked := bottle.request.environ.get("HTTP_RANGE")):
        size_bytes = reply.path.stat().st_size
        # static_file would leave the file open
        if not list(bottle.parse_range_header(asked, size_bytes)):
            error = BadRequestError(f"Range: {shown(asked)} is no part of the file's {size_bytes} bytes")
            response = _refusal(error, BEYOND)
            response.set_header("Content-Range", f"bytes */{size_bytes}")  # RFC 9110, 15.5.17
            return response
    response = bottle.static_file(
        reply.path.name, root=str(reply.path.parent), mimetype=reply.media_type, etag=etag
    )
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundError(f"No image at {reply.path.name}")
    response.set_header("Content-Disposition", f'inline; filename="{quote(reply.path.name)}"')
    for name, value in _everywhere().items():
        response.set_header(name, value)
    return response


def _aged(response: bottle.HTTPResponse, max_age_s: int | None) -> bottle.HTTPResponse:
    if max_age_s is not None:
        response.set_header("Cache-Control", f"max-age={max_age_s}")
    return response


def _refusal(raised: Exception, other: int | None = None) -> bottle.HTTPResponse:
    """Answer an error under its status, or under another."""
    error = outage(raised) or raised
    usual, title, details = errors_of(error)
    status = usual if other is None else other
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        named = request_id(bottle.request.environ)
        _log.error(
            "%s %s failed (request %s)", bottle.request.method, bottle.request.path, named, exc_info=error
        )
    environ = bottle.request.environ
    if wants_problem(environ.get("HTTP_ACCEPT", "")):
        method, sent = environ["REQUEST_METHOD"], environ.get(SENT, b"")
        response = _response(
            status,
            problem(error, method=method, path=_asked_path(), raw=sent, status=status),
            PROBLEM_TYPE,
        )
    else:
        response = _response(status, failure(status, title, details), MEDIA_TYPE)
    response.add_header("Vary", "Accept")
    if isinstance(error, (TooManyRequestsError, UnavailableError)):
        response.set_header("Retry-After", str(error.retry_after_s))
    if isinstance(error, AuthenticationError):
        response.set_header("WWW-Authenticate", "Bearer")  # RFC 9110, 11.6.1
    return response


def _router_error(error: Any) -> bottle.HTTPResponse:
    """Answer what Bottle itself raised: no such route or method (both 404), or a fault of its own."""
    if error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        method = bottle.request.environ["REQUEST_METHOD"]
        return _refusal(NotFoundError(f"No handler found matching method {method} and path {_asked_path()}."))
    cause = error.exception
    return _refusal(cause if isinstance(cause, Exception) else BadRequestError(str(error.body)))


def _asked_path() -> str:
    # still percent-encoded, as it was asked for
    environ = bottle.request.environ
    asked = environ.get("REQUEST_URI") or quote(environ.get("bottle.raw_path", "").encode("latin-1"))
    path: str = asked.partition("?")[0]
    return path


def _response(
    status: int, body: bytes | Iterable[bytes], media_type: str, **headers: str
) -> bottle.HTTPResponse:
    return bottle.HTTPResponse(body, status, {"Content-Type": media_type, **_everywhere(), **headers})


def _everywhere() -> dict[str, str]:
    return {**CORS, REQUEST_ID: request_id(bottle.request.environ)}
