"""The main colours of pictures: `GET /api/palette/<uuid>` for those that were drawn here, `stretto palette` for any file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from annotated_types import Ge, Le
from stretto.host import Answer, Call, CommandSpec, HostView, NotFoundError, RouteSpec, hookimpl

if TYPE_CHECKING:
    from PIL.Image import Image

__version__ = "1.0.0"
REQUIRES_STRETTO_API = ">=1.0,<2"
UUID = re.compile(r"[0-9a-f]{32}")
MOST = 64


@dataclass(frozen=True)
class Settings:
    """`[plugins.palette]` in plugins.toml."""

    side_px: Annotated[int, Ge(16), Le(1024)] = 128  # a picture is looked at no larger than this


@dataclass(frozen=True)
class Query:
    """What may follow the path of the route."""

    colours: Annotated[int, Ge(1), Le(MOST)] = 5
    index: Annotated[int, Ge(0), Le(10_000)] = 0  # of the invocation's pictures


@dataclass(frozen=True)
class Colour:
    """One colour, and how much of the picture it covers."""

    rgb: str  # "#rrggbb"
    share: float


def palette(image: Image, most: int, side_px: int) -> list[Colour]:
    """Give at most `most` colours by median cut (Heckbert 1982), the commonest first; what is transparent is not seen."""
    from PIL import Image as Pictures

    seen = image.convert("RGBA")
    seen.thumbnail((side_px, side_px))
    data = seen.tobytes()
    opaque = [data[at : at + 3] for at in range(0, len(data), 4) if data[at + 3]]
    if not opaque:
        return []
    strip = Pictures.frombytes("RGB", (len(opaque), 1), b"".join(opaque))
    cut = strip.quantize(most, Pictures.Quantize.MEDIANCUT).convert("RGB")
    counts = sorted(cut.getcolors(MOST) or (), reverse=True)
    return [
        Colour("#{:02x}{:02x}{:02x}".format(*rgb), round(count / len(opaque), 4)) for count, rgb in counts
    ]


@hookimpl
def register_routes(host: HostView) -> Iterable[RouteSpec]:
    """Offer the route; its query and answer stand in the OpenAPI document."""
    side_px = host.plugin_settings("palette", Settings).side_px

    def handle(call: Call) -> Answer:
        """Give the main colours of one picture of an invocation, the commonest first."""
        from PIL import Image

        uuid, query = call.names["uuid"], call.query
        path = call.host.folders.images / f"{uuid}_{query.index}.png"
        if not UUID.fullmatch(uuid) or not path.is_file():
            raise NotFoundError(
                f"there is no picture {query.index} of an invocation '{uuid}'; see /api/invocation-history"
            )
        with Image.open(path) as image:
            return Answer(value=palette(image, query.colours, side_px))

    return [
        RouteSpec(
            name="palette",
            title="Give a picture's main colours",
            method="GET",
            path="/api/palette/<uuid>",
            handle=handle,
            query=Query,
            answer=list[Colour],
        )
    ]


@hookimpl
def register_commands(host: HostView) -> Iterable[CommandSpec]:
    """Offer the command."""
    side_px = host.plugin_settings("palette", Settings).side_px
    return [
        CommandSpec(
            name="palette", title="Show the main colours of a picture.", build=lambda: command(side_px)
        )
    ]


def command(side_px: int) -> click.Command:
    """Make the click command."""

    @click.command("palette")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--colours", type=click.IntRange(1, MOST), default=5, show_default=True, help="At most so many."
    )
    def show(file: Path, colours: int) -> None:
        """Show the main colours of FILE with the share of the picture that each covers."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(file) as image:
                found = palette(image, colours, side_px)
        except (OSError, UnidentifiedImageError) as error:
            raise click.ClickException(f"{file} is no picture that can be read: {error}") from error
        for colour in found:
            red, green, blue = bytes.fromhex(colour.rgb[1:])
            block = click.style("    ", bg=(red, green, blue))
            click.echo(f"{block} {colour.rgb} {colour.share:6.1%}")

    return show
