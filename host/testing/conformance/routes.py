"""What a route promises: words for the OpenAPI document, answers of the type that it says, and errors that are ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import partial
from inspect import getdoc
from typing import Any

from ...contracts.protocols import HostView
from ...contracts.request import InvocationRequest
from ...contracts.routes import Answer, BytesAnswer, RouteSpec
from ...errors import PluginError, StrettoError
from ...plugboard.discover import reason
from ...plugboard.offer_rules import NAMED, check_offer
from .report import BreachError, Checks, SkippedError
from .supplies import Supplies

__all__ = ["check_route"]


def check_route(spec: RouteSpec, checks: Checks, supplies: Supplies) -> None:
    """Check its words and types, then call its handler in this process."""
    checks.run("the host takes it", partial(_check_taken, spec))
    checks.run("it is documented", partial(_check_documented, spec))
    checks.run("it answers in process, or with an error of ours", partial(_check_answers, spec, supplies))


def _check_taken(spec: RouteSpec) -> None:
    try:
        check_offer(spec)
    except PluginError as error:
        raise BreachError(str(error)) from error


def _check_documented(spec: RouteSpec) -> None:
    if not spec.title.strip():
        raise BreachError("`title` is empty; it is the route's summary in the OpenAPI document")
    handle = spec.handle
    while isinstance(handle, partial):
        handle = handle.func
    if not (getdoc(handle) or "").strip():
        raise BreachError("`handle` has no docstring; it is the route's description in the OpenAPI document")
    if spec.answer is None:
        raise BreachError(
            "`answer` is None; say the type of `data`, or the media type of bytes, such as 'image/png'"
        )
    for name, form in (("query", spec.query), ("body", spec.body)):
        words = "" if form is None else (form.__doc__ or "")
        # dataclass writes the signature where there is no docstring
        if form is not None and (not words.strip() or words.startswith(f"{form.__name__}(")):
            raise BreachError(f"the {name} {form.__name__} has no docstring; say what its fields are")


@dataclass(slots=True)
class _Call:
    """A call of somebody who may do everything; implements the contracts' `Call`."""

    host: HostView
    names: Mapping[str, str]
    query: Any
    body: Any
    plan: Callable[[InvocationRequest], object]
    user: str = "kit"
    admin: bool = True

    def header(self, name: str) -> str | None:
        """Give none: a client need not send any."""
        del name
        return None

    def submit(self, request: InvocationRequest) -> str:
        """Plan an invocation, which raises what the API would answer, and queue none."""
        self.plan(request)
        return "0" * 32


def _check_answers(spec: RouteSpec, supplies: Supplies) -> None:
    call = _Call(
        host=supplies.host,
        plan=supplies.host.plan,
        names=dict.fromkeys(NAMED.findall(spec.path), "0"),
        query=_blank(spec.query, "query"),
        body=_blank(spec.body, "body"),
    )
    try:
        reply = spec.handle(call)
    except StrettoError as error:
        if not str(error).strip():
            raise BreachError(f"it raises {type(error).__name__} without a word") from error
        return
    except Exception as error:
        raise BreachError(
            f"`handle` raises {reason(error)}; raise an error of stretto.host, such as NotFoundError, which is "
            "answered with its status and words"
        ) from error
    _check_reply(spec, reply)


def _blank(form: type | None, what: str) -> Any:
    """Make a form of defaults alone; raises SkippedError where a field has none."""
    if form is None:
        return None
    if is_dataclass(form):
        needed = [
            entry.name
            for entry in fields(form)
            if entry.default is MISSING and entry.default_factory is MISSING
        ]
        if needed:
            raise SkippedError(
                f"the {what} needs {', '.join(needed)}; call it in a test with the fixture `client`"
            )
    return form()


def _check_reply(spec: RouteSpec, reply: object) -> None:
    says_bytes = isinstance(spec.answer, str)
    if isinstance(reply, BytesAnswer):
        if not says_bytes or reply.media_type != spec.answer:
            raise BreachError(f"it answers {reply.media_type}, and `answer` says {spec.answer!r}")
        return
    if not isinstance(reply, Answer):
        raise BreachError(
            f"`handle` gives {type(reply).__name__}; give an Answer or a BytesAnswer of stretto.host"
        )
    if says_bytes:
        raise BreachError(f"it answers with data, and `answer` says {spec.answer!r}; give a BytesAnswer")
    value: Any = reply.value
    try:
        json.dumps(
            asdict(value) if is_dataclass(value) and not isinstance(value, type) else value, default=asdict
        )
    except (TypeError, ValueError) as error:
        raise BreachError(
            f"its answer cannot be written as JSON: {error}; use JSON's types and dataclasses"
        ) from error
