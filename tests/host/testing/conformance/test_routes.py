from __future__ import annotations

from dataclasses import dataclass

import pytest
from stretto.host import Answer, BytesAnswer, InvocationRequest, NotFoundError, RouteSpec


@dataclass(frozen=True)
class Query:
    """What is asked."""

    size: int = 3


@dataclass(frozen=True)
class Bare:
    size: int = 3


@dataclass(frozen=True)
class Needy:
    """What cannot be left out."""

    size: int


def good(call):
    """Give a number."""
    return Answer(value={"size": call.query.size if call.query else 1})


def found(call):
    """Find nothing."""
    raise NotFoundError(f"there is no {call.names['name']}")


def drawn(call):
    """Queue a picture."""
    return Answer(value=call.submit(InvocationRequest(prompt="a red circle")))


def wordless(_call):
    return Answer(value=1)


def foreign(_call):
    """Look up what is not there."""
    return {}["x"]


def bytes_of(_call):
    """Give a picture."""
    return BytesAnswer(body=b"", media_type="image/webp")


def unwritable(_call):
    """Give what JSON has not."""
    return Answer(value={1, 2})


def route(handle, **changes):
    said = {"name": "mine", "title": "Mine", "method": "GET", "path": "/api/mine", "answer": dict[str, int]}
    return RouteSpec(handle=handle, **{**said, **changes})


@pytest.mark.parametrize(
    "spec",
    [
        route(good, query=Query),
        route(found, path="/api/mine/<name>"),
        route(drawn, answer=str, method="POST"),
        route(bytes_of, answer="image/webp"),
        route(good, query=Needy),
    ],
)
def test_what_keeps_its_promises_has_no_breach(spec, breaches):
    assert breaches(spec) == {}


DOCUMENTED, ANSWERS = "it is documented", "it answers in process, or with an error of ours"


@pytest.mark.parametrize(
    ("spec", "check", "words"),
    [
        (route(good, title=""), DOCUMENTED, "`title` is empty"),
        (route(wordless), DOCUMENTED, "`handle` has no docstring"),
        (route(good, answer=None), DOCUMENTED, "say the type of `data`"),
        (route(good, query=Bare), DOCUMENTED, "the query Bare has no docstring"),
        (route(good, path="/mine"), "the host takes it", "paths begin with /api/"),
        (route(foreign), ANSWERS, "`handle` raises KeyError: 'x'; raise an error of stretto.host"),
        (route(bytes_of), ANSWERS, "it answers image/webp"),
        (route(good, answer="image/png"), ANSWERS, "give a BytesAnswer"),
        (route(unwritable), ANSWERS, "cannot be written as JSON"),
    ],
)
def test_a_broken_promise_is_said(spec, check, words, breaches):
    assert words in breaches(spec)[check]
