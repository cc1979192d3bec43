"""Rectangles as integers: windows over a canvas, rounding, and where an image lands on a canvas.

Knows no pictures and no tensors: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = [
    "ANCHORS",
    "FITS",
    "Placement",
    "Window",
    "area_of",
    "cells_under",
    "enlarged_to",
    "feather",
    "fitted",
    "grown",
    "over_regions",
    "round_up",
    "window_count",
    "windows",
]

FITS = ("actual", "contain", "cover", "stretch")
ANCHORS = tuple(
    f"{row}-{column}" for row in ("top", "center", "bottom") for column in ("left", "center", "right")
)


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of latent cells; one cell is 8 x 8 pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Placement:
    """How an image comes onto a canvas: resize it, cut `crop` out of it, paste that at `at`.

    All in pixels. `resize` is (width, height), `crop` is (left, top, right, bottom) within the
    resized image, `at` is (left, top) on the canvas; what `crop` does not cover stays empty.
    """

    resize: tuple[int, int]
    crop: tuple[int, int, int, int]
    at: tuple[int, int]

    @property
    def fills(self) -> tuple[int, int]:
        """Say how many pixels of the canvas are covered, (width, height)."""
        left, top, right, bottom = self.crop
        return right - left, bottom - top


def round_up(value: int, multiple: int = 8) -> int:
    """Give the smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


def cells_under(left: int, top: int, right: int, bottom: int, cell: int = 8) -> Window:
    """Give the latent cells that a box in pixels touches."""
    first = Window(top // cell, left // cell, 0, 0)
    return Window(first.top, first.left, -(-bottom // cell) - first.top, -(-right // cell) - first.left)


def windows(
    height: int, width: int, size: int, stride: int, tile: tuple[bool, bool] = (False, False)
) -> tuple[Window, ...]:
    """Lay square windows of `size` over a canvas of latent cells, row by row, `stride` apart.

    The last window of a row or column is shifted back inside the canvas; on the axes (x, y) of `tile` it
    goes on at the canvas's beginning instead. Stride 0, or a canvas smaller than one window on
    either side, gives one window of the whole canvas. A stride above `size` would leave cells that
    no window sees, so it counts as `size`.
    """
    if stride <= 0 or height < size or width < size:
        return (Window(0, 0, height, width),)
    return tuple(
        Window(top, left, size, size)
        for top in _starts(height, size, min(stride, size), wraps=tile[1])
        for left in _starts(width, size, min(stride, size), wraps=tile[0])
    )


def window_count(
    height: int, width: int, size: int, stride: int, tile: tuple[bool, bool] = (False, False)
) -> int:
    """Count what `windows` would lay, without laying them."""
    if stride <= 0 or height < size or width < size:
        return 1
    step = min(stride, size)
    return _count(height, size, step, wraps=tile[1]) * _count(width, size, step, wraps=tile[0])


def over_regions(
    canvas: tuple[int, int],
    regions: Sequence[Window],
    size: int,
    stride: int,
    tile: tuple[bool, bool] = (False, False),
) -> tuple[tuple[Window, ...], ...]:
    """Lay windows over each area of a canvas (height, width), and last over what no region covers.

    An area is a region with what is around it, as `area_of` gives it. It has windows of its own, in
    its own cells, as if it were a canvas; one that reaches from border to border is seamless on the
    axes (x, y) of `tile`. The last windows are those over the whole canvas that see a cell outside
    of all regions; none if there is no such cell.
    """
    height, width = canvas
    laid = []
    for region in (area_of(one, canvas, size) for one in regions):
        wraps = tile[0] and region.width == width, tile[1] and region.height == height
        laid.append(windows(region.height, region.width, size, stride, wraps))
    free = _uncovered(canvas, regions)
    rest = windows(height, width, size, stride, tile) if free else ()
    return *laid, tuple(window for window in rest if any(_meet(window, cells, canvas) for cells in free))


def area_of(region: Window, canvas: tuple[int, int], size: int) -> Window:
    """Grow a region that is smaller than a window of `size` to one, about its middle, inside of `canvas`."""
    top, height = _grown_cells(region.top, region.height, canvas[0], size)
    left, width = _grown_cells(region.left, region.width, canvas[1], size)
    return Window(top, left, height, width)


def _grown_cells(start: int, length: int, room: int, least: int) -> tuple[int, int]:
    grown = max(length, min(least, room))
    return min(max(0, start - (grown - length) // 2), room - grown), grown


def _uncovered(canvas: tuple[int, int], regions: Sequence[Window]) -> list[Window]:
    """Give what no region covers, in rectangles between the lines that regions' sides lie on."""
    downs = sorted({0, canvas[0], *(side for one in regions for side in (one.top, one.top + one.height))})
    acrosses = sorted({0, canvas[1], *(side for one in regions for side in (one.left, one.left + one.width))})
    cells = [
        Window(top, left, bottom - top, right - left)
        for top, bottom in pairwise(downs)
        for left, right in pairwise(acrosses)
    ]
    return [one for one in cells if not any(_meet(one, region, canvas) for region in regions)]


def _meet(one: Window, other: Window, canvas: tuple[int, int]) -> bool:
    """Say whether a window, which may reach over the canvas's end to its beginning, shares a cell with another."""
    return any(
        _overlap(one.top - down, one.height, other.top, other.height)
        and _overlap(one.left - across, one.width, other.left, other.width)
        for down in (0, canvas[0])
        for across in (0, canvas[1])
    )


def _overlap(start: int, length: int, other: int, extent: int) -> bool:
    return start < other + extent and other < start + length


def _count(length: int, size: int, stride: int, *, wraps: bool = False) -> int:
    if wraps and length > size:
        return -(-length // stride)
    return -(-(length - size) // stride) + 1


def _starts(length: int, size: int, stride: int, *, wraps: bool = False) -> list[int]:
    count = _count(length, size, stride, wraps=wraps)
    last = length if wraps else length - size
    return [min(index * stride, last) for index in range(count)]


def feather(start: int, length: int, canvas: int, blur: int, *, wraps: bool = False) -> tuple[float, ...]:
    """Weigh the cells of one side of a window that covers `start` to `start + length` of `canvas`.

    The first `blur` cells from an end that is not the canvas's border count (j + 1) / (blur + 1);
    a canvas that `wraps` has no border, unless the window goes once round it;
    a blur above half the window multiplies from both ends. No weight is ever 0. The weight of a
    cell is the product over its two axes.
    """
    weights = [1.0] * length
    for j in range(min(blur, length)):
        share = (j + 1) / (blur + 1)
        if start > 0 or (wraps and length < canvas):
            weights[j] *= share
        if start + length < canvas or (wraps and length < canvas):
            weights[length - 1 - j] *= share
    return tuple(weights)


def fitted(
    source: tuple[int, int], target: tuple[int, int], fit: str | None, anchor: str | None
) -> Placement:
    """Place an image of `source` (width, height) on a canvas of `target` pixels.

    `actual` (None) keeps its size, `contain` scales it until it fits inside, `cover` until nothing
    stays empty, `stretch` changes its shape. What is free or too much is shared out by `anchor`,
    `top-left` when None. `fit` and `anchor` are words of FITS and ANCHORS.
    """
    resize = _resized(source, target, fit or "actual")
    row, _, column = (anchor or "top-left").partition("-")
    left, right, x = _aligned(resize[0], target[0], column)
    top, bottom, y = _aligned(resize[1], target[1], row)
    return Placement(resize=resize, crop=(left, top, right, bottom), at=(x, y))


def _resized(source: tuple[int, int], target: tuple[int, int], fit: str) -> tuple[int, int]:
    if fit == "actual":
        return source
    if fit == "stretch":
        return target
    width, height = source
    relatively_wider = width * target[1] > height * target[0]
    if relatively_wider == (fit == "contain"):
        return target[0], max(1, _rounded(height * target[0], width))
    return max(1, _rounded(width * target[1], height)), target[1]


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _aligned(length: int, room: int, word: str) -> tuple[int, int, int]:
    """Give what to cut out of `length` (start, end) and where it goes in `room`, along one axis."""
    surplus, free = max(0, length - room), max(0, room - length)
    share = {"center": 1, "right": 2, "bottom": 2}.get(word, 0)
    start = surplus * share // 2
    return start, start + min(length, room), free * share // 2


def grown(
    box: tuple[int, int, int, int], canvas: tuple[int, int], margin: int, least: int
) -> tuple[int, int, int, int]:
    """Grow a box (left, top, right, bottom) by `margin` pixels and to at least `least` on each side.

    It stays inside `canvas` (width, height), about its own middle where there is room, and its sides
    are multiples of 8 wherever the canvas has room for that.
    """
    left, right = _grown(box[0], box[2], canvas[0], margin, least)
    top, bottom = _grown(box[1], box[3], canvas[1], margin, least)
    return left, top, right, bottom


def _grown(start: int, end: int, room: int, margin: int, least: int) -> tuple[int, int]:
    start, end = max(0, start - margin), min(room, end + margin)
    length = min(room, round_up(max(end - start, least)))
    first = min(max(0, (start + end - length) // 2), room - length)
    return first, first + length


def enlarged_to(size: tuple[int, int], least: int, most: float) -> tuple[int, int] | None:
    """Give the size in whole cells at which neither side of `size` (width, height) is below `least`.

    None if neither is, or if the sides would grow more than `most` times.
    """
    width, height = size
    scale = max(least / width, least / height)
    if not 1.0 < scale <= most:
        return None
    # whole numbers: a float product may land a hair above a multiple of 8
    shorter = min(width, height)
    return round_up(-(-width * least // shorter)), round_up(-(-height * least // shorter))
