"""The routes that plugins offer: found by the board of the moment, called, and answered as our own are.

What a handler raises outside our errors is a PluginError that names plugin and route, and its plugin's failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stretto.host.contracts.plain import plain
from stretto.host.contracts.protocols import HostView
from stretto.host.contracts.request import InvocationRequest
from stretto.host.contracts.routes import Answer, BytesAnswer, RouteSpec
from stretto.host.errors import Fault, InvalidRequestError
from stretto.host.plugboard.calls import Place

from .access import ANYBODY, Access, admins_may, grant, users_may
from .envelope import json_text
from .idempotency import KEY, Key, digest_of
from .outages import outage
from .plugin_forms import read_body, read_query
from .plugin_seats import PluginSeats
from .routing import Call, JsonReply, RawReply, Reply, Route
from .stored import plan_request
from .telemetry import NAMES, OTHER

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["PART", "Offers", "PluginRoutes", "access_of", "plugin_offers"]

PART = re.compile(r"<(\w+)>", re.ASCII)
# of a header that a plugin adds (RFC 9110, 5.1 and 5.5)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_TEXT = re.compile(r"[\x20-\x7e]*")
# what answers are made of; a plugin's header of these names would contradict it
OWN_HEADERS = frozenset({"content-length", "content-type", "transfer-encoding", "connection", "x-request-id"})
PERMISSION = users_may("create", "DiffusionInvocation")
HOOK = "route"  # in the ledger
Offers = tuple[tuple[str, RouteSpec], ...]  # each with its plugin's name


def plugin_offers(host: Host) -> Offers:
    """Give the routes that plugins offer now, with their plugins."""
    host.look()
    registry = host.board.registry("routes")
    return tuple((registry.owner(name), spec) for name, spec in tuple(registry.items()))


def access_of(spec: RouteSpec) -> Access:
    """Give what a caller needs."""
    if spec.needs == "anybody":
        return ANYBODY
    permission = admins_may if spec.needs == "admin" else users_may
    return permission("call", f"{spec.method} {spec.path}")


class PluginRoutes:
    """The routes of one server's plugins; `seats` handlers run at once."""

    def __init__(self, host: Host, seats: int) -> None:
        self._host = host
        self._seats = PluginSeats(seats)
        self._labels: set[str] = set()

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Give the route for a request, and the parts of the path that it names; None without one."""
        asked = "GET" if method == "HEAD" else method
        for pattern, owner, spec in _table(plugin_offers(self._host)):
            found = pattern.fullmatch(path) if spec.method == asked else None
            if found is not None:
                return self._route(owner, spec), found.groupdict()
        return None

    def _route(self, owner: str, spec: RouteSpec) -> Route:
        def handle(call: Call) -> Reply:
            with self._seats.taken(owner, f"{spec.method} {spec.path}"):
                return _handled(owner, spec, call)

        return Route(spec.method, self._label(spec.path), handle, access_of(spec))

    def _label(self, path: str) -> str:
        """Give the path under which answers are counted: plugins come and go, and counts stay."""
        if path not in self._labels and len(self._labels) >= NAMES:
            return OTHER
        self._labels.add(path)
        return path


@lru_cache(maxsize=4)
def _table(offers: Offers) -> tuple[tuple[re.Pattern[str], str, RouteSpec], ...]:
    """Give patterns with their routes, those with words where others have names first."""
    found = sorted(offers, key=lambda offer: [part.startswith("<") for part in offer[1].path.split("/")])
    return tuple(
        (re.compile(PART.sub(r"(?P<\1>[^/]+)", re.sub(r"[.~]", r"\\\g<0>", spec.path))), owner, spec)
        for owner, spec in found
    )


def _handled(owner: str, spec: RouteSpec, call: Call) -> Reply:
    place = Place(owner, HOOK, f"its route {spec.method} {spec.path}")
    asked = _asked(spec, call)
    reply: Reply = call.services.host.board.calls.called(place, _answered)(spec, asked)
    return reply


def _answered(spec: RouteSpec, call: PluginCall) -> Reply:
    said = spec.handle(call)
    if isinstance(said, BytesAnswer):
        if not isinstance(said.body, bytes) or not HEADER_TEXT.fullmatch(said.media_type):
            raise TypeError(f"a BytesAnswer has bytes and a media type, not {type(said.body).__name__}")
        return RawReply(body=said.body, media_type=said.media_type, max_age_s=None)
    if not isinstance(said, Answer):
        raise TypeError(f"it gave {type(said).__name__}; a route gives Answer or BytesAnswer")
    text = json_text(plain(said.value)).encode()
    return JsonReply(text, headers=tuple(_headers(said.headers or {})))


def _headers(given: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, text in given.items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in OWN_HEADERS or not HEADER_TEXT.fullmatch(text):
            raise ValueError(f"{name!r}: {text!r} is no header that a route may add")
        yield name, text


def _asked(spec: RouteSpec, call: Call) -> PluginCall:
    """Read query and body; raises InvalidRequestError with the faults of both."""
    query = body = None
    faults: list[Fault] = []
    if spec.query is not None:
        query, faults = read_query(spec.query, call.params)
    sent: Mapping[str, object] = {}
    if spec.body is not None:
        sent = call.body()
        body, more = read_body(spec.body, sent)
        faults += more
    if faults:
        raise InvalidRequestError(faults)
    return PluginCall(
        host=call.services.host,
        user=call.user.username,
        admin=call.user.admin,
        names=call.names,
        query=query,
        body=body,
        given_headers=call.header,
        submission=_Submission(call, spec, sent),
    )


@dataclass(slots=True, kw_only=True)
class PluginCall:
    """A request as a plugin's handler sees it: `stretto.host.Call`."""

    host: HostView
    user: str
    admin: bool
    names: Mapping[str, str]
    query: Any
    body: Any
    given_headers: Callable[[str], str | None]
    submission: _Submission

    def header(self, name: str) -> str | None:
        """Give a request header by its name, such as `Accept`."""
        return self.given_headers(name)

    def submit(self, request: InvocationRequest) -> str:
        """Plan and queue an invocation for the caller, and give its uuid; raises what `POST /api/invoke` answers."""
        return self.submission.submit(request)


class _Submission:
    """`Call.submit`: what a handler queues for its caller, once for an `Idempotency-Key`."""

    def __init__(self, call: Call, spec: RouteSpec, sent: Mapping[str, object]) -> None:
        self._call = call
        self._asked = {"route": [spec.method, spec.path], "names": dict(call.names), "body": sent}
        self._count = 0  # of this call's invocations

    def submit(self, request: InvocationRequest) -> str:
        """Plan and queue an invocation, and give its uuid."""
        call = self._call
        grant(PERMISSION, call.user if call.user.username else None)
        key = call.header(KEY)
        self._count += 1
        try:
            if key is None:
                return self._submitted(request)
            named = Key(call.user.id, key)
            if self._count > 1:
                named = Key(call.user.id, digest_of({"key": key, "count": self._count}))
            digest = digest_of({**self._asked, "params": dict(call.params)})
            return call.services.promises.once(named, digest, lambda uuid: self._submitted(request, uuid))
        except Exception as error:
            if (away := outage(error)) is not None:
                raise away from error
            raise

    def _submitted(self, request: InvocationRequest, named: str | None = None) -> str:
        services = self._call.services
        plan = plan_request(services.host, services.store.records, request)
        return services.host.submit(plan, self._call.user.id, named=named).uuid
