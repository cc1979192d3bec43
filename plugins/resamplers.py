"""Enlargers that only interpolate: Pillow's filters, under the names of the JSON API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stretto.host import Upscaler, UpscalerSpec, hookimpl

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Resampler", "register_upscalers"]

TITLES = {
    "lanczos": "Lanczos, a windowed sinc over 6 x 6 pixels",
    "bilinear": "Bilinear, between 2 x 2 pixels",
    "bicubic": "Bicubic, over 4 x 4 pixels",
    "nearest": "Nearest neighbour, for pixel art",
}


@dataclass(frozen=True, slots=True)
class Resampler:
    """Enlarges on the CPU with the Pillow filter of that name."""

    name: str

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` with both sides `amount` times as long."""
        from PIL.Image import Resampling

        return image.resize((image.width * amount, image.height * amount), Resampling[self.name.upper()])


@hookimpl
def register_upscalers() -> Iterable[UpscalerSpec]:
    """Offer the four filters."""
    return [
        UpscalerSpec(name=name, title=title, build=partial(_build, name)) for name, title in TITLES.items()
    ]


def _build(name: str, _device: str) -> Upscaler:
    return Resampler(name)
