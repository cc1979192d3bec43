"""What a route or a command must be, and the words of each refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest
from annotated_types import Ge
from stretto.host import CommandSpec, RouteSpec
from stretto.host.contracts.specs import VaeSpec
from stretto.host.errors import PluginClashError, PluginError
from stretto.host.plugboard.offer_rules import check_offer, exclusive_words
from stretto.host.plugboard.registry import KINDS, Registry


@dataclass(frozen=True)
class Inner:
    x: int


@dataclass(frozen=True)
class Form:
    a: Annotated[int, Ge(1)]
    b: Literal["x", "y"] | None = None
    c: tuple[float, ...] = ()
    d: bool = False


@dataclass(frozen=True)
class Body:
    form: Form
    inner: tuple[Inner, ...] = ()
    more: dict[str, Any] | None = None


@dataclass
class Thawed:
    a: int = 1


@dataclass(frozen=True)
class Nested:
    inner: Inner


@dataclass(frozen=True)
class Either:
    a: int | str


@dataclass(frozen=True)
class Pair:
    a: tuple[int, int]


@dataclass(frozen=True)
class Endless:
    again: tuple[Endless, ...] = ()


@dataclass(frozen=True)
class Unread:
    a: Nowhere  # type: ignore[name-defined]  # noqa: F821  # what an author may write


@dataclass(frozen=True)
class Bytes:
    a: bytes


class Typed(TypedDict):
    a: Sequence[Inner]
    b: Typed | None


class Unhashable:
    __hash__ = None  # type: ignore[assignment]  # as of a dataclass that is not frozen

    def __call__(self, call: object) -> None:
        del call


def route(**changes: Any) -> RouteSpec:
    given: dict[str, Any] = {"name": "one", "method": "GET", "path": "/api/one", "handle": print}
    return RouteSpec(**{**given, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/api/a.b_c~d-e/<one>/x.png/<two>"},
        {"query": Form},
        {"method": "POST", "body": Body, "query": Form},
        {"answer": "image/svg+xml"},
        {"answer": Typed},
        {"answer": list[dict[str, Endless | None]]},
        {"answer": Any},
        {"answer": None},
    ],
)
def test_what_can_be_served_is_taken(changes: dict[str, Any]) -> None:
    check_offer(route(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "/one"}, "its route 'one' has the path '/one'; paths begin with /api/"),
        (
            {"path": "/api/models/mine"},
            (
                "its route 'one' has the path '/api/models/mine', and all below /api/models is the host's own; "
                "begin with another word"
            ),
        ),
        (
            {"path": "/api/one/"},
            (
                "its route 'one' has the path '/api/one/'; between slashes stands a word of letters, digits, . _ ~ -, "
                "or a name such as <uuid>, not ''"
            ),
        ),
        (
            {"path": "/api/<name>"},
            "has the path '/api/<name>'; a word of letters, digits, . _ ~ - follows /api/",
        ),
        ({"path": "/api/one\n"}, "a word of letters, digits, . _ ~ - follows /api/"),
        ({"path": "/api/one/<a:path>"}, "or a name such as <uuid>, not '<a:path>'"),
        ({"path": "/api/one/v<a>"}, "or a name such as <uuid>, not 'v<a>'"),
        ({"path": "/api/one/<a>/<a>"}, "which gives two parts one name; name them apart"),
        ({"path": None}, "has the path None; paths begin with /api/"),
        ({"method": "get"}, "its route 'one' has the method 'get'; known: GET, POST, PUT, PATCH, DELETE"),
        ({"needs": "root"}, "its route 'one' needs 'root'; known: anybody, user, admin"),
        ({"handle": None}, "its route 'one' has a `handle` that cannot be called: None"),
        (
            {"handle": Unhashable()},
            "has a `handle` that cannot be hashed; give its class eq=False or a __hash__",
        ),
        ({"query": dict}, "its route 'one' has the query <class 'dict'>; make it a frozen dataclass"),
        ({"query": Thawed}, "has the query Thawed, which is not frozen; write @dataclass(frozen=True)"),
        (
            {"query": Nested},
            "; known: bool, int, float, str, Literal[...], X | None, tuple[X, ...]",
        ),
        (
            {"query": Unread},
            "has the query Unread, whose annotations cannot be read: name 'Nowhere' is not defined",
        ),
        (
            {"query": Either},
            "has the query Either, whose field 'a' is int | str; declare one type, or one and None",
        ),
        ({"query": Pair}, "has the query Pair, whose field 'a' is tuple[int, int]; known: "),
        ({"body": Form}, "its route 'one' reads a body, which GET has not; use POST, PUT or PATCH"),
        (
            {"body": Endless, "method": "PUT"},
            "whose field 'again' is Endless within itself; what is read has an end",
        ),
        ({"body": Bytes, "method": "PUT"}, "frozen dataclasses and dict[str, Any]"),
        (
            {"answer": "picture"},
            "has the answer 'picture'; say its type, or a media type such as 'image/png'",
        ),
        (
            {"answer": set[int]},
            "its route 'one' has the answer set[int]; JSON has bool, int, float, str, None,",
        ),
        ({"answer": list[Bytes]}, "has the answer Bytes, whose field 'a' is <class 'bytes'>; JSON has"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError) as raised:
        check_offer(route(**changes))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "serve"}, "it offers the command 'serve', which is the host's own; give it another name"),
        ({"aliases": ("db",)}, "it offers the command 'db', which is the host's own; give it another name"),
        ({"name": "One"}, "it offers the command 'One'; a command is lower-case letters, digits and hyphens"),
        ({"name": "-x"}, "it offers the command '-x'; a command is lower-case letters, digits and hyphens"),
        ({"build": "x"}, "its command 'one' has a `build` that cannot be called: 'x'"),
    ],
)
def test_a_command_has_a_name_of_its_own(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError) as raised:
        check_offer(CommandSpec(**{"name": "one", "build": print, **changes}))
    assert str(raised.value) == words


def test_routes_alone_have_more_than_names_to_themselves() -> None:
    assert exclusive_words(route(path="/api/a/<b>/<c>")) == ("GET /api/a/<name>/<name>",)
    assert exclusive_words(VaeSpec(name="a", files=(), families=())) == ()


def test_a_method_and_path_is_one_plugins_alone() -> None:
    registry: Registry[RouteSpec] = Registry(KINDS["routes"])
    registry.add(route(path="/api/a/<b>"), "ann")
    registry.add(route(name="two", path="/api/a/<b>", method="DELETE"), "bob")
    with pytest.raises(PluginClashError, match=r"both offer the route 'GET /api/a/<name>'"):
        registry.add(route(name="three", path="/api/a/<c>"), "bob")
    with pytest.raises(PluginError, match=r"it offers the route 'GET /api/a/<name>' twice"):
        registry.add(route(name="three", path="/api/a/<c>"), "ann")
    registry.drop("ann")
    registry.add(route(name="three", path="/api/a/<c>"), "bob")
    assert registry.names() == ("two", "three")
