"""Laying nodes over each other: one picture, RGBA, what of it was drawn, and what is still empty. Pictures only."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

from ..contracts.plan import Node
from .fitting import UNSEEN, coverage

__all__ = ["Layer", "Rest", "blank", "laid_over", "landed", "rest", "settled_picture"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One sample's canvas so far: the picture, RGBA, and where drawn content may still be blended, L."""

    picture: Image.Image
    soft: Image.Image  # 255 where it was drawn; 0 where it is a given picture's own, which stays to the bit


@dataclass(frozen=True, slots=True)
class Rest:
    """What is to be painted of a canvas: the picture, RGB, and levels, L: 255 is painted, 0 stays."""

    picture: Image.Image
    painted: Image.Image


def blank(size: tuple[int, int]) -> Layer:
    """Give an empty canvas of `size` (width, height)."""
    return Layer(picture=Image.new("RGBA", size), soft=Image.new("L", size))


def landed(node: Node) -> Image.Image | None:
    """Give how opaque the node's picture is, L in the node's size; None where all of it is.

    Known before anything is drawn, but for what is removed with a background. Raises EngineError
    if the node's image is gone.
    """
    if node.image is None or node.outpaint or node.children:
        return None
    levels = coverage(node)
    return levels if ImageChops.invert(levels).getbbox() else None


def laid_over(below: Layer, picture: Image.Image, at: tuple[int, int], *, exact: bool) -> Layer:
    """Lay a picture over a canvas at (left, top), which may lie outside; what is transparent lets through.

    `exact`: its pixels are not to be blended with what is painted beside them.
    """
    left, top = at
    size = below.picture.size
    visible = (
        max(0, -left),
        max(0, -top),
        min(picture.width, size[0] - left),
        min(picture.height, size[1] - top),
    )
    if visible[0] >= visible[2] or visible[1] >= visible[3]:
        return below
    part = picture.crop(visible).convert("RGBA")
    place = (left + visible[0], top + visible[1])
    whole, soft = below.picture.copy(), below.soft.copy()
    whole.alpha_composite(part, place)
    soft.paste(
        0 if exact else 255, (*place, place[0] + part.width, place[1] + part.height), part.getchannel("A")
    )
    return Layer(picture=whole, soft=soft)


def rest(layer: Layer, feather_px: int) -> Rest | None:
    """Give what is empty, reaching `feather_px` into what was drawn beside it with falling levels; None if nothing is."""
    alpha = layer.picture.getchannel("A")
    empty = ImageChops.invert(alpha)
    if not empty.getbbox():
        return None
    reach = ImageChops.darker(reached(empty, feather_px), layer.soft)
    seen = Image.composite(
        layer.picture.convert("RGB"), Image.new("RGB", alpha.size, UNSEEN), alpha.point(_is_there)
    )
    return Rest(picture=seen, painted=ImageChops.lighter(empty, reach))


def reached(levels: Image.Image, reach_px: int) -> Image.Image:
    """Grow what is white by `reach_px`, falling to black in a straight line."""
    half = reach_px // 2
    if not half:
        return levels
    grown = levels
    for _ in range(half):
        grown = grown.filter(ImageFilter.MaxFilter(3))
    return grown.filter(ImageFilter.BoxBlur(half))


def settled_picture(layer: Layer) -> Image.Image:
    """Give the canvas as a picture: RGB, or RGBA where something is still empty."""
    empty = ImageChops.invert(layer.picture.getchannel("A")).getbbox()
    return layer.picture if empty else layer.picture.convert("RGB")


def _is_there(level: int) -> int:
    return 255 if level else 0
