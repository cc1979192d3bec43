"""A route that counts the words of a prompt: `GET /api/words?prompt=a+red+circle`."""

from dataclasses import dataclass

from stretto.host import Answer, RouteSpec, hookimpl


@dataclass(frozen=True)
class Query:
    prompt: str


@dataclass(frozen=True)
class Words:
    words: int


def count(call):
    """Say how many words a prompt has."""
    return Answer(value=Words(len(call.query.prompt.split())))


@hookimpl
def register_routes():
    return [
        RouteSpec(
            name="words",
            title="Count words",
            method="GET",
            path="/api/words",
            handle=count,
            query=Query,
            answer=Words,
        )
    ]
