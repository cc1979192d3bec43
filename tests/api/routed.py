"""Plugins with routes, as authors would write them, for the tests of those routes."""

HEAD = '''
"""A plugin under test."""
import time
from functools import partial
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from annotated_types import Ge, Le
from stretto.host import Answer, BytesAnswer, InvocationRequest, RouteSpec, hookimpl
from stretto.host.errors import NotFoundError
'''
PALETTE = (
    HEAD
    + '''
@dataclass(frozen=True)
class Query:
    size: Annotated[int, Ge(1), Le(8)] = 3
    order: Literal["hue", "share"] = "hue"
    tag: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mark:
    x: int
    y: int = 0


@dataclass(frozen=True, kw_only=True)
class Draft:
    prompt: str
    seed: int | None = 1
    marks: tuple[Mark, ...] = ()
    more: dict[str, Any] | None = None


@dataclass(frozen=True)
class Colours:
    picture: str
    size: int
    order: str
    tags: tuple[str, ...]
    marks: tuple[Mark, ...] = ()


def colours(call):
    """Give the colours of a picture.

    The most frequent come first.
    """
    query = call.query
    value = Colours(call.names["picture"], query.size, query.order, query.tag, (Mark(1),))
    return Answer(value=value, headers={"X-Colours": "3"})


def draw(call):
    """Draw something, for its caller."""
    body = call.body
    request = InvocationRequest(prompt=body.prompt, seed=body.seed, width=64, height=64, num_inference_steps=2)
    uuids = [call.submit(request) for _ in range(2 if body.more else 1)]
    return Answer(value={"uuids": uuids, "user": call.user, "admin": call.admin})


def dot(call):
    """Give a dot."""
    return BytesAnswer(body=b"dot", media_type="image/png")


def whoami(call):
    """Say who asks."""
    return Answer(value=[call.user, call.admin, call.header("X-Word"), call.host.version, call.query, call.body])


def missing(call):
    raise NotFoundError("there is no such palette; make one")


REPLIES = {
    "number": 7,
    "object": Answer(value=object()),
    "nan": Answer(value=float("nan")),
    "half": Answer(value="\\ud800"),
    "header": Answer(value=1, headers={"X-A": "1\\r\\nX-B: 2"}),
    "length": Answer(value=1, headers={"Content-Length": "1"}),
    "text": BytesAnswer(body="text", media_type="text/plain"),
}


def fail(call):
    how = call.names["how"]
    if how == "exit":
        raise SystemExit(3)
    return REPLIES[how]


@hookimpl
def register_routes(host):
    return [
        RouteSpec(name="colours", title="Colours of a picture", method="GET", path="/api/palette/<picture>",
                  handle=colours, query=Query, answer=Colours),
        RouteSpec(name="draw", method="POST", path="/api/palette", handle=draw, body=Draft, answer=dict[str, Any]),
        RouteSpec(name="dot", method="GET", path="/api/palette/dot.png", handle=dot, needs="anybody",
                  answer="image/png"),
        RouteSpec(name="whoami", method="GET", path="/api/palette/who/am/i", handle=partial(whoami)),
        RouteSpec(name="open", method="POST", path="/api/palette/open", handle=draw, body=Draft, needs="anybody"),
        RouteSpec(name="secret", method="DELETE", path="/api/palette/<picture>", handle=dot, needs="admin",
                  answer="image/png"),
        RouteSpec(name="missing", method="GET", path="/api/palette/missing", handle=missing),
        RouteSpec(name="fail", method="GET", path="/api/failing/<how>", handle=fail),
    ]
'''
)
SLOW = (
    HEAD
    + """
from pathlib import Path
FOLDER = Path(__file__).parent


def hang(call):
    with (FOLDER / "hanging").open("a") as file:
        file.write(".")
    while not (FOLDER / "enough").exists():
        time.sleep(0.01)
    return Answer(value=1)


def quick(call):
    time.sleep(0.01)
    return Answer(value=2)


@hookimpl
def register_routes(host):
    return [
        RouteSpec(name="{0}-hang", method="GET", path="/api/{0}/hang", handle=hang),
        RouteSpec(name="{0}-quick", method="GET", path="/api/{0}/quick", handle=quick),
    ]
"""
)
