"""Draws batches of scenes as pictures, from the sprites."""

import random
from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from training.starter.sprites import DISTANCE_REACH, MIP_SWITCH_RADIUS, Sprites
from training.starter.world import COLOURS, SHAPES, SIZE_PX, THINGS, Figure, Scene

Style = Literal["filled", "outline"]
OUTLINE_HALF_WIDTH_PX: Final = 2.0
COLOUR_JITTER: Final = 0.015
_SHAPE_INDEX: Final = {name: i for i, name in enumerate(SHAPES)}
_THING_INDEX: Final = {name: i for i, name in enumerate(THINGS)}


def draw_scenes(
    scenes: Sequence[Scene], sprites: Sprites, rng: random.Random | None = None, style: Style = "filled"
) -> Tensor:
    """Pictures (batch, 3, 128, 128) in 0..1; with `rng` the colours vary a little."""
    grounds = torch.tensor([_shade(scene.ground, rng) for scene in scenes])
    pictures = grounds[:, :, None, None].expand(-1, -1, SIZE_PX, SIZE_PX).clone()
    for layer in range(max(len(scene.figures) for scene in scenes)):
        rows = [(i, scene.figures[layer]) for i, scene in enumerate(scenes) if len(scene.figures) > layer]
        shapes = [(i, figure) for i, figure in rows if figure.colour is not None]
        if shapes:
            _paint_shapes(pictures, shapes, sprites, [_shade(f.colour or "", rng) for _, f in shapes], style)
        for mip in range(len(sprites.mips)):
            things = [
                (i, f) for i, f in rows if f.colour is None and (f.radius < MIP_SWITCH_RADIUS) == bool(mip)
            ]
            if things:
                _paint_things(pictures, things, sprites.mips[mip], style)
    return pictures.clamp(0, 1)


def _shade(colour: str, rng: random.Random | None) -> list[float]:
    drift = [rng.uniform(-COLOUR_JITTER, COLOUR_JITTER) if rng else 0.0 for _ in range(3)]
    return [channel / 255 + d for channel, d in zip(COLOURS[colour], drift, strict=True)]


def _sample_textures(textures: Tensor, figures: Sequence[Figure], reach: float, padding: str) -> Tensor:
    """Each figure's texture at the picture's pixels (figures, channels, 128, 128)."""
    scale = torch.tensor([1 / (f.radius * reach) for f in figures])
    theta = torch.zeros(len(figures), 2, 3)
    # grid_sample's own coordinates span -1..1 over the picture: x' = ((x + 1) / 2 - centre) / (radius * reach)
    theta[:, 0, 0] = theta[:, 1, 1] = scale / 2
    theta[:, 0, 2] = (0.5 - torch.tensor([f.x for f in figures])) * scale
    theta[:, 1, 2] = (0.5 - torch.tensor([f.y for f in figures])) * scale
    grid = functional.affine_grid(theta, [len(figures), 1, SIZE_PX, SIZE_PX], align_corners=False)
    return functional.grid_sample(textures, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _paint_shapes(
    pictures: Tensor,
    rows: Sequence[tuple[int, Figure]],
    sprites: Sprites,
    shades: list[list[float]],
    style: Style,
) -> None:
    figures = [figure for _, figure in rows]
    textures = sprites.distances[[_SHAPE_INDEX[f.kind] for f in figures]]
    radii_px = torch.tensor([f.radius * SIZE_PX for f in figures])[:, None, None, None]
    distance_px = _sample_textures(textures, figures, DISTANCE_REACH, "border") * radii_px
    if style == "outline":
        distance_px = distance_px.abs() - OUTLINE_HALF_WIDTH_PX
    cover = (0.5 - distance_px).clamp(0, 1)
    index = torch.tensor([i for i, _ in rows])
    pictures[index] = pictures[index] * (1 - cover) + torch.tensor(shades)[:, :, None, None] * cover


def _paint_things(
    pictures: Tensor, rows: Sequence[tuple[int, Figure]], textures: Tensor, style: Style
) -> None:
    figures = [figure for _, figure in rows]
    rgba = _sample_textures(textures[[_THING_INDEX[f.kind] for f in figures]], figures, 1.0, "zeros")
    if style == "outline":
        rgba = _edges_of(rgba)
    index = torch.tensor([i for i, _ in rows])
    pictures[index] = pictures[index] * (1 - rgba[:, 3:]) + rgba[:, :3]


def _edges_of(rgba: Tensor) -> Tensor:
    """Only the rim of each thing, two pixels wide on each side, in its own colours."""
    alpha = rgba[:, 3:]
    grown = functional.max_pool2d(alpha, 3, 1, 1)
    shrunk = -functional.max_pool2d(-alpha, 5, 1, 2)
    rim = (grown - shrunk).clamp(0, 1)
    return rgba * rim
