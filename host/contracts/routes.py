"""What plugins add to the JSON API and to the command line: routes and commands, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .events import Event, Finished
from .protocols import HostView
from .request import InvocationRequest
from .specs import Spec

if TYPE_CHECKING:
    import click

__all__ = ["Answer", "BytesAnswer", "Call", "CommandSpec", "Console", "Reply", "RouteSpec"]


class Call(Protocol):
    """One HTTP request, as the handler of a plugin's route sees it."""

    host: HostView
    user: str  # the caller's name; empty for one who did not log in
    admin: bool
    names: Mapping[str, str]  # the parts of the path that the route names
    query: Any  # the query string as the route's `query` dataclass; None without one
    body: Any  # the JSON body as the route's `body` dataclass; None without one

    def header(self, name: str) -> str | None:
        """Give a request header by its name, such as `Accept`."""

    def submit(self, request: InvocationRequest) -> str:
        """Plan and queue an invocation for the caller, and give its uuid; raises what `POST /api/invoke` answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A value for `data`: anything that JSON has, or dataclasses of it; `headers` are added to the answer's."""

    value: object
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesAnswer:
    """Bytes without the envelope, such as a picture."""

    body: bytes
    media_type: str


Reply = Answer | BytesAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec(Spec):
    """A method and path of the JSON API: `/api/...`, where `<name>` is a part without slashes.

    The word after `/api/` is none of the host's own. `title` is its summary in the OpenAPI document and
    `handle`'s docstring its description. `query` and `body` are frozen dataclasses, read and checked before
    `handle` is called, so that a wrong one is answered with every fault; `answer` is the type of `data`, or the
    media type of a `BytesAnswer`. What `handle` raises of `stretto.host.errors` is answered with its status,
    anything else with 500 and the plugin's name. Calls come from several threads at once.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handle: Callable[[Call], Reply]
    needs: Literal["anybody", "user", "admin"] = "user"
    query: type | None = None
    body: type | None = None
    answer: Any = None


class Console(Protocol):
    """What a plugin's command works with; `ctx.obj` of its click context."""

    def host(self) -> AbstractContextManager[HostView]:
        """Open the host over the data directory that the command line names; within itself, the same one."""

    def invoke(
        self, request: InvocationRequest, on_event: Callable[[Event], None] = lambda _event: None
    ) -> Finished:
        """Plan and draw here, in this process; raises StrettoError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec(Spec):
    """A command or group `stretto NAME`, of lower-case letters, digits and hyphens; `title` is its line in `--help`.

    `build` makes the click command. Options for the data directory, the database, the plugins file and the engines
    are added to it and to its subcommands, and its context's `obj` is a `Console`.
    """

    build: Callable[[], click.Command]
