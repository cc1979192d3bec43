"""Waitress with the contract's wire rules before the application is asked: limits, and errors as JSON.

A body that is too large is refused at its headers; what the client still sends is read and
dropped for a while, so that it gets to see the answer instead of a reset connection.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from stretto.host.errors import BadRequestError, PayloadTooLargeError, StrettoError
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import ErrorTask

from .app import too_large
from .envelope import CORS, MEDIA_TYPE, errors_of, failure
from .event_loop import CAN_POLL, Dispatcher, EventLoop, LoopChannel
from .http_task import HttpTask
from .problems import PROBLEM_TYPE, problem, wants_problem
from .request_ids import REQUEST_ID, usable

__all__ = ["Address", "bind", "finish", "listen", "serve_until"]

LINGER_S = 10.0
DRAIN_BYTES = 2**18  # a read
FLUSH_S = 5.0
POLL_S = 1.0
TOO_MUCH = (PayloadTooLargeError.status, 431)  # of a body, of headers (RFC 6585, 5)
CONNECTIONS = 600  # at once; each holds a file
STREAMS = re.compile(r"/api/invocation/[^/]+/events/*")

_log = logging.getLogger("waitress")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens; port 0 lets the system choose."""

    host: str
    port: int


def bind(address: Address) -> socket.socket:
    """Give a socket bound to the first address of a host name, IPv4 preferred; raises OSError."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    return bound


def listen(application: Any, bound: socket.socket, *, threads: int, body_limit: Callable[[], int]) -> Any:
    """Make a Waitress server on a bound socket; `body_limit` gives bytes and is asked for each request."""
    dispatcher = _Dispatcher(_log)
    dispatcher.set_thread_count(threads)
    server = create_server(
        application,
        sockets=[bound],
        ident=None,
        connection_limit=CONNECTIONS,
        _dispatcher=dispatcher,
    )
    server.farewell = application.close  # Waitress keeps it wrapped
    server.channel_class = type("Channel", (_Channel,), {"parser_class": _parser(body_limit)})
    if CAN_POLL:
        EventLoop(server)
    return server


def serve_until(server: Any, stopped: Callable[[], bool]) -> None:
    """Answer requests until `stopped`; `server.pull_trigger()` makes it look at once."""
    while not stopped():
        _turn(server, POLL_S)


def finish(server: Any) -> None:
    """Stop accepting, close the application, let running requests end and their answers go out, then close everything."""
    server.asyncore.dispatcher.close(server)
    server.farewell()
    deadline = time.monotonic() + FLUSH_S
    while time.monotonic() < deadline and any(
        channel.requests or channel.total_outbufs_len for channel in list(server.active_channels.values())
    ):
        _turn(server, 0.05)
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=FLUSH_S)
    server.trigger.close()
    server.asyncore.close_all(server._map)  # noqa: SLF001  # no other way to it


def _turn(server: Any, timeout_s: float) -> None:
    if CAN_POLL:
        server.events.turn(timeout_s)
    else:
        server.asyncore.loop(timeout=timeout_s, map=server._map, count=1)  # noqa: SLF001  # the same


def _parser(body_limit: Callable[[], int]) -> type[Any]:
    class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
        """Reads one request within the limit of the moment."""

        def __init__(self, adj: Any) -> None:
            limit = body_limit()
            bounded = SimpleNamespace(
                max_request_header_size=adj.max_request_header_size,
                max_request_body_size=limit + 1,  # Waitress refuses a body of exactly its limit
                inbuf_overflow=adj.inbuf_overflow,
                url_scheme=adj.url_scheme,
                limit=limit,
            )
            super().__init__(bounded)

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.chunked and "CONTENT_LENGTH" in self.headers:  # RFC 9112, 6.1: a way to smuggle a call
                raise ParsingError("Content-Length and Transfer-Encoding exclude each other")

        def received(self, data: bytes) -> int:
            consumed: int = super().received(data)
            if self.error is not None:
                self.expect_continue = False  # or the client would be asked for the body all the same
            return consumed

    return Parser


class _Dispatcher(Dispatcher):
    """Gives each stream of events a thread of its own, so that those who answer at once stay free."""

    def add_task(self, task: Any) -> None:
        request = task.requests[0]
        if STREAMS.fullmatch(getattr(request, "path", "")) and request.error is None:
            threading.Thread(target=self.serve, args=(task,), name="stream", daemon=True).start()
        else:
            super().add_task(task)


class _ErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers what Waitress refused, in the envelope."""

    def execute(self) -> None:
        request, error = self.request, self.request.error
        refused: StrettoError = BadRequestError(f"{error.reason}: {error.body}")
        self.channel.lingers = error.code in TOO_MUCH
        if error.code == PayloadTooLargeError.status:
            refused = too_large(request.adj.limit)
        _, title, details = errors_of(refused)
        body, media_type = failure(error.code, title, details), MEDIA_TYPE
        if wants_problem(request.headers.get("ACCEPT", "")):
            path = urlsplit(request.path or "").path
            body = problem(refused, method=request.command or "", path=path, status=error.code)
            media_type = PROBLEM_TYPE
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("Content-Type", media_type), ("Vary", "Accept"), *CORS.items()]
        self.response_headers.append((REQUEST_ID, usable(self.request.headers.get("X_REQUEST_ID"))))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(LoopChannel):
    """One connection; after a body or headers that are too large it lingers (RFC 9112, 9.6)."""

    task_class = HttpTask
    error_task_class = _ErrorTask
    lingers = False
    lingers_until: float | None = None

    def readable(self) -> bool:
        return self.lingers_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        if self.lingers_until is None:
            super().handle_read()
            return
        try:
            data = self.recv(DRAIN_BYTES)  # closes this channel itself at the end of the stream
        except OSError:
            data = b""
        if self.connected and (not data or time.monotonic() > self.lingers_until):
            self.handle_close()

    def handle_close(self) -> None:
        if not self.lingers or self.lingers_until is not None:
            super().handle_close()
            return
        self.lingers_until = time.monotonic() + LINGER_S
        self.will_close = False
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client is gone already
            super().handle_close()
