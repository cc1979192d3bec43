"""Textures of every kind: signed distances of the shapes, and pictures of the things from Noto Color Emoji."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from training.starter.world import COLOURS, SHAPES, THINGS

EMOJI_FONT: Final = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
EMOJI_SIZE_PT: Final = 109  # the only bitmap size the font has

DISTANCE_PX: Final = 160
DISTANCE_REACH: Final = 1.25  # textures span [-reach, reach] radii
MIP_SIZES_PX: Final = (96, 56)  # small figures are drawn from the small one, so that they are not aliased
MIP_SWITCH_RADIUS: Final = 0.28


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprites:
    """The textures: distances (shapes, 1, n, n) in radii, and premultiplied RGBA (things, 4, n, n) per mip."""

    distances: Tensor
    mips: tuple[Tensor, ...]
    clashes: frozenset[tuple[str, str]]


def build_sprites() -> Sprites:
    """Draw every kind once."""
    things = [_draw_thing(code) for code in THINGS.values()]
    mips = tuple(
        torch.stack([functional.interpolate(t[None], (n, n), mode="area")[0] for t in things])
        for n in MIP_SIZES_PX
    )
    return Sprites(distances=_draw_distances(), mips=mips, clashes=_find_clashes(mips[0]))


def shape_sprites() -> Sprites:
    """The shapes alone, which need no font."""
    return Sprites(distances=_draw_distances(), mips=(), clashes=frozenset())


def load_sprites(path: Path) -> Sprites:
    """The sprites at `path`, drawn and saved there if they are not yet."""
    if not path.exists():
        built = build_sprites()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"distances": built.distances, "mips": built.mips, "clashes": sorted(built.clashes)}, path)
    stored = torch.load(path, weights_only=True)
    return Sprites(
        distances=stored["distances"],
        mips=tuple(stored["mips"]),
        clashes=frozenset((thing, ground) for thing, ground in stored["clashes"]),
    )


def _draw_thing(code_point: int) -> Tensor:
    """A premultiplied RGBA square (4, n, n), cropped to the glyph."""
    font = ImageFont.truetype(str(EMOJI_FONT), EMOJI_SIZE_PT)
    canvas = Image.new("RGBA", (192, 192), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((24, 24), chr(code_point), font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        message = f"{EMOJI_FONT} draws nothing for U+{code_point:X}; install fonts-noto-color-emoji"
        raise RuntimeError(message)
    glyph = canvas.crop(box)
    side = max(glyph.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2))
    square = square.resize((192, 192), Image.Resampling.BICUBIC)
    pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).reshape(192, 192, 4)
    rgba = pixels.permute(2, 0, 1).float() / 255
    return torch.cat([rgba[:3] * rgba[3:], rgba[3:]])


def _find_clashes(things: Tensor) -> frozenset[tuple[str, str]]:
    """(thing, ground) pairs where less than half of the thing's pixels stand out."""
    clashes = set()
    for name, rgba in zip(THINGS, things, strict=True):
        solid = rgba[3] > 0.5
        pixels = rgba[:3, solid]
        for ground, colour in COLOURS.items():
            far = (pixels - torch.tensor(colour)[:, None] / 255).norm(dim=0) > 0.25
            if far.float().mean() < 0.55:
                clashes.add((name, ground))
    return frozenset(clashes)


def _draw_distances() -> Tensor:
    span = (torch.arange(DISTANCE_PX) + 0.5) / DISTANCE_PX * 2 - 1
    y, x = torch.meshgrid(span * DISTANCE_REACH, span * DISTANCE_REACH, indexing="ij")
    return torch.stack([_DISTANCES[shape](x, y) for shape in SHAPES])[:, None]


def _polygon(x: Tensor, y: Tensor, points: list[tuple[float, float]]) -> Tensor:
    """Signed distance to a polygon, after Quilez (https://iquilezles.org/articles/distfunctions2d/)."""
    nearest = torch.full_like(x, 1e9)
    sign = torch.ones_like(x)
    for (xi, yi), (xj, yj) in zip(points, [points[-1], *points[:-1]], strict=True):
        ex, ey, wx, wy = xj - xi, yj - yi, x - xi, y - yi
        along = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        nearest = torch.minimum(nearest, (wx - ex * along).square() + (wy - ey * along).square())
        rising, falling, side = y >= yi, y < yj, (ex * wy) > (ey * wx)
        crosses = (rising & falling & side) | (~rising & ~falling & ~side)
        sign = torch.where(crosses, -sign, sign)
    return sign * nearest.sqrt()


def _box(x: Tensor, y: Tensor, half_width: float, half_height: float) -> Tensor:
    return torch.maximum(x.abs() - half_width, y.abs() - half_height)


def _star(x: Tensor, y: Tensor) -> Tensor:
    corners = [(1.08 if i % 2 == 0 else 0.45, i * math.pi / 5) for i in range(10)]
    return _polygon(x, y, [(math.sin(a) * r, -math.cos(a) * r + 0.06) for r, a in corners])


def _heart(x: Tensor, y: Tensor) -> Tensor:
    turns = [2 * math.pi * i / 28 for i in range(28)]
    return _polygon(
        x,
        y,
        [
            (
                math.sin(t) ** 3 * 1.02,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16 * 1.02,
            )
            for t in turns
        ],
    )


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    outer = ((x - 0.08).square() + y.square()).sqrt() - 0.95
    inner = ((x - 0.58).square() + y.square()).sqrt() - 0.80
    return torch.maximum(outer, -inner)


def _arrow(x: Tensor, y: Tensor) -> Tensor:
    return _polygon(
        x, y, [(1.02, 0), (0.15, -0.8), (0.15, -0.3), (-1.0, -0.3), (-1.0, 0.3), (0.15, 0.3), (0.15, 0.8)]
    )


_DISTANCES: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "circle": lambda x, y: (x.square() + y.square()).sqrt() - 0.95,
    "square": lambda x, y: _box(x, y, 0.82, 0.82),
    "triangle": lambda x, y: _polygon(x, y, [(0, -1.0), (1.02, 0.8), (-1.02, 0.8)]),
    "star": _star,
    "heart": _heart,
    "cross": lambda x, y: torch.minimum(_box(x, y, 0.98, 0.33), _box(x, y, 0.33, 0.98)),
    "ring": lambda x, y: ((x.square() + y.square()).sqrt() - 0.72).abs() - 0.25,
    "diamond": lambda x, y: (x.abs() * 1.35 + y.abs() - 1.05) / 1.68,
    "crescent": _crescent,
    "arrow": _arrow,
    "oval": lambda x, y: ((x / 1.05).square() + (y / 0.58).square()).sqrt() * 0.7 - 0.7,
    "rectangle": lambda x, y: _box(x, y, 1.05, 0.5),
}
