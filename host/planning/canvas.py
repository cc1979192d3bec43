"""The canvas of a request, and how windows cover it."""

from __future__ import annotations

from dataclasses import dataclass

from ..contracts.plan import Node
from ..geometry import round_up, window_count
from .defaults import size_px
from .draft import Draft
from .enlarging import MAX_WINDOWS

__all__ = ["CELL_PX", "MAX_PIXELS", "Canvas", "check_extent", "lay_canvas", "windows_over"]

CELL_PX = 8
# One picture of 16384 x 16384, or 64 of 2048 x 2048; as many bytes of RGB fit any machine we run on.
MAX_PIXELS = 2**28


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is drawn on, in pixels: its sides, and windows of `size` that move by `stride`, feathered over `blur`."""

    width: int
    height: int
    size: int
    stride: int
    blur: int


def lay_canvas(draft: Draft) -> Canvas:
    """Settle the sides of the canvas and of its windows; what was raised to whole cells is told."""
    request, image = draft.request, draft.request.image
    asked = request.size or size_px(draft.weights, draft.offer)
    size = round_up(asked, CELL_PX)
    if size != asked:
        draft.notes.append(f"size {asked} was raised to {size}, a multiple of {CELL_PX}")
    width = request.width or (image.width if image else asked)
    height = request.height or (image.height if image else asked)
    full = round_up(width, CELL_PX), round_up(height, CELL_PX)
    if full != (width, height):
        draft.notes.append(
            f"drawn at {full[0]} x {full[1]}, multiples of {CELL_PX}, and cropped to {width} x {height}"
        )
    stride = size // 8 if request.chunking_size is None else request.chunking_size
    if 0 < stride < CELL_PX:
        draft.notes.append(f"chunking_size {stride} was raised to {CELL_PX}, the smallest move")
        stride = CELL_PX
    blur = size // 8 if request.chunking_blur is None else request.chunking_blur
    return Canvas(width=width, height=height, size=size, stride=stride, blur=blur)


def windows_over(node: Node, side_px: int, stride_px: int, tile: tuple[bool, bool] = (False, False)) -> int:
    """Count the windows of `side_px` over what is drawn of a node, which is seamless on the axes of `tile`."""
    height, width = (side // CELL_PX for side in node.canvas_px)
    return window_count(height, width, side_px // CELL_PX, stride_px // CELL_PX, tile)


def check_extent(draft: Draft, canvas: Canvas, windows: int) -> None:
    """Tell what is too large: the pictures all together, or the number of windows."""
    request = draft.request
    scale = request.outscale if request.upscale else 1
    pixels = canvas.width * canvas.height * scale**2 * request.samples
    if pixels > MAX_PIXELS:
        draft.fault(
            "width",
            f"{canvas.width} x {canvas.height} px, {request.samples} samples, enlarged {scale} times "
            f"is {pixels} pixels; at most {MAX_PIXELS} are drawn in one invocation",
        )
    if windows > MAX_WINDOWS:
        draft.fault(
            "chunking_size",
            f"{canvas.stride} px gives {windows} windows a step; at most {MAX_WINDOWS} are drawn, so raise it",
        )
