"""The routes and commands of plugin API 1.0, in the plainest way. NEVER EDITED: see README.md beside it."""

from dataclasses import dataclass

from stretto.host import (
    Answer,
    BadRequestError,
    BytesAnswer,
    CommandSpec,
    InvocationRequest,
    RouteSpec,
    StepProgress,
    did_you_mean,
    hookimpl,
)

__version__ = "1.0"
REQUIRES_STRETTO_API = ">=1.0,<2"


@dataclass(frozen=True)
class Query:
    """`word` is a kind of offers."""

    word: str = "schedulers"


@dataclass(frozen=True)
class Body:
    """`prompt` is what to draw, in so many steps."""

    prompt: str
    num_inference_steps: int = 2


@dataclass(frozen=True)
class Told:
    """The names, and who asked."""

    names: tuple[str, ...]
    user: str


@dataclass(frozen=True)
class Ticket:
    """`uuid` is the invocation's."""

    uuid: str


def names(call):
    """Give the names of what is offered of a kind."""
    kinds = ("schedulers", "upscalers")
    if call.query.word not in kinds:
        raise BadRequestError(f"word: there is no '{call.query.word}'; {did_you_mean(call.query.word, kinds)}")
    return Answer(value=Told(names=tuple(call.host.offers(call.query.word)), user=call.user))


def draw(call):
    """Queue a small picture, and give its ticket."""
    request = InvocationRequest(
        prompt=call.body.prompt, width=64, height=64, seed=1, num_inference_steps=call.body.num_inference_steps
    )
    return Answer(value=Ticket(uuid=call.submit(request)), headers={"X-Frozen": "1"})


def echo(call):
    """Give a part of the path as bytes."""
    return BytesAnswer(body=call.names["word"].encode(), media_type="text/plain")


@hookimpl
def register_routes(host):
    return [
        RouteSpec(
            name="frozen-names", title="Names", method="GET", path="/api/frozen", handle=names, query=Query, answer=Told
        ),
        RouteSpec(
            name="frozen-draw", title="Draw", method="POST", path="/api/frozen", handle=draw, body=Body, answer=Ticket
        ),
        RouteSpec(
            name="frozen-echo", title="Echo", method="GET", path="/api/frozen/<word>", handle=echo, needs="anybody", answer="text/plain"
        ),
    ]


def command():
    import click

    @click.group()
    def frozen():
        """Show what a plugin of plugin API 1.0 can do."""

    @frozen.command()
    @click.pass_obj
    def schedulers(console):
        """Print the schedulers' names."""
        with console.host() as host:
            click.echo("\n".join(host.offers("schedulers")))

    @frozen.command()
    @click.argument("prompt")
    @click.pass_obj
    def draw(console, prompt):
        """Draw PROMPT, and print the picture's name."""
        ticks = []
        request = InvocationRequest(prompt=prompt, width=64, height=64, num_inference_steps=2, seed=1)
        done = console.invoke(request, lambda event: ticks.append(event) if isinstance(event, StepProgress) else None)
        click.echo(f"{done.images[0]} after {len(ticks)} ticks")

    return frozen


@hookimpl
def register_commands(host):
    return [CommandSpec(name="frozen", title="Show what a plugin of plugin API 1.0 can do.", build=command)]
