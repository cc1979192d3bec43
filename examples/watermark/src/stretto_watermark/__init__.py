"""Writes a line of text into a corner of every finished picture, just before it is saved."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le, MaxLen
from stretto.host import Bench, Frame, Save, hookimpl

if TYPE_CHECKING:
    from PIL.Image import Image

__version__ = "1.0.0"
REQUIRES_STRETTO_API = ">=1.0,<2"
MARGIN = 0.02  # of the shorter side


@dataclass(frozen=True)
class Settings:
    """`[plugins.watermark]` in plugins.toml."""

    text: Annotated[str, MaxLen(80)] = ""  # where a request says none; empty writes nothing
    height: Annotated[float, Ge(0.01), Le(0.5)] = 0.06  # of the letters, of the shorter side


@dataclass(frozen=True)
class Parameters:
    """`"plugins": {"watermark": {...}}` in a request."""

    text: Annotated[str, MaxLen(80)] | None = None
    opacity: Annotated[float, Ge(0.0), Le(1.0)] = 0.6
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = "bottom-right"


def stamped(image: Image, text: str, parameters: Parameters, height: float) -> Image:
    """Give a copy of `image`, in its own mode, with white letters that have a dark shadow."""
    from PIL import Image as Pictures
    from PIL import ImageDraw, ImageFont

    side = min(image.size)
    font = ImageFont.load_default(max(6, round(side * height)))
    layer = Pictures.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    left, top, right, bottom = pen.textbbox((0, 0), text, font)
    margin = max(1, round(side * MARGIN))
    x = margin if parameters.corner.endswith("left") else image.width - margin - (right - left)
    y = margin if parameters.corner.startswith("top") else image.height - margin - (bottom - top)
    alpha = round(255 * parameters.opacity)
    for shift, colour in ((1, (0, 0, 0, alpha)), (0, (255, 255, 255, alpha))):
        pen.text((x - left + shift, y - top + shift), text, fill=colour, font=font)
    return Pictures.alpha_composite(image.convert("RGBA"), layer).convert(image.mode)


@hookimpl(wrapper=True)
def run_step(bench: Bench) -> Generator[None, Frame | None, Frame | None]:
    """Change the pictures of the last step before they are saved; those that are withheld stay blank."""
    done = yield
    if done is None or not bench.ahead or not isinstance(bench.ahead[0], Save):
        return done
    settings = bench.host.plugin_settings("watermark", Settings)
    parameters = bench.host.plugin_parameters("watermark", Parameters, bench.plan)
    text = settings.text if parameters.text is None else parameters.text
    if not text:
        return done
    images = (
        image if index in done.flagged else stamped(image, text, parameters, settings.height)
        for index, image in enumerate(done.images)
    )
    return replace(done, images=tuple(images))
