"""Which part of a node is drawn, and how large: masks, outpainting, cropping, the model's own size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..contracts.plan import Bounds, Node
from ..contracts.request import InvocationRequest
from ..errors import EngineError
from ..geometry import enlarged_to, fitted, grown

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_CROP_SHARE", "Sides", "Voice", "settled", "sized"]

# Above this a small picture gains nothing from being drawn at the model's size.
MAX_ENLARGEMENT = 3.0
# A part that is nearly all of the canvas is drawn with all of it.
MAX_CROP_SHARE = 0.75
_HALF = 128


@dataclass(frozen=True, slots=True)
class Voice:
    """How planning speaks up: a fault of a parameter, or a line of the plan's notes."""

    fault: Callable[[str, str], None]
    note: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides in pixels of the windows that pictures are drawn in, and of those that masks are filled in."""

    draw_px: int
    fill_px: int

    def of(self, node: Node) -> int:
        """Give the side that is used for `node`."""
        return self.fill_px if node.paints else self.draw_px


def settled(node: Node, request: InvocationRequest, sides: Sides, voice: Voice) -> Node:
    """Settle what of `node` is drawn, and how large; `node` has image and mask, if any.

    Opens the image only where it may have empty parts, and the mask. Faults are told, not raised.
    """
    if node.mask is not None and node.image is None:
        voice.fault("mask", "there is no image whose part it could repaint; give `image` too")
        return replace(node, mask=None)
    if node.image is not None:
        node = _painted(node, request, sides, voice)
    return sized(node, sides.of(node), voice)


def _painted(node: Node, request: InvocationRequest, sides: Sides, voice: Voice) -> Node:
    from ..engine.fitting import coverage

    if node.fill_background:  # what is empty then, shows when the job runs
        return node
    if node.mask is None and not _may_be_empty(node):
        return node
    try:
        alpha = coverage(node)
    except EngineError as error:
        voice.fault("image", str(error))
        return node
    node = _outpainted(node, alpha, voice)
    return _cropped(node, alpha, request, sides.of(node), voice) if node.paints else node


def _may_be_empty(node: Node) -> bool:
    """Say whether the image could leave a part of its canvas empty: it is smaller, or has alpha."""
    assert node.image is not None  # noqa: S101 - asked for only where the node has one
    size = (node.width, node.height)
    placement = fitted((node.image.width, node.image.height), size, node.fit, node.anchor)
    return placement.fills != size or node.image.mode not in ("RGB", "L")


def _outpainted(node: Node, alpha: Image.Image, voice: Voice) -> Node:
    """Let the prompt draw what the image leaves empty: there is nothing to be true to, so from noise alone."""
    from ..engine.fitting import hole

    if not node.prompt.strip() or node.strength == 0:
        return node
    empty = hole(replace(node, mask=None, outpaint=True), alpha).histogram()[255]
    if not empty:
        return node
    share = 100 * empty / (node.width * node.height)
    strength = node.strength if node.mask is not None else 1.0
    voice.note(
        f"the image leaves {share:.0f} % of the canvas empty; that is outpainted at strength {strength:g}"
    )
    return replace(node, outpaint=True, strength=strength)


def _cropped(
    node: Node, alpha: Image.Image, request: InvocationRequest, engine_px: int, voice: Voice
) -> Node:
    from ..engine.fitting import hole

    try:
        painted = hole(node, alpha)
    except EngineError as error:
        voice.fault("mask", str(error))
        return node
    if not any(painted.histogram()[_HALF:]):
        voice.fault("mask", "has no white on the canvas, so nothing would be repainted; see `invert_mask`")
        return node
    if not request.crop_inpaint or max(node.width, node.height) <= engine_px:
        return node
    box = painted.getbbox()
    assert box is not None  # noqa: S101 - something is white
    size = (node.width, node.height)
    left, top, right, bottom = grown(box, size, request.inpaint_feather, engine_px)
    if (right - left) * (bottom - top) >= MAX_CROP_SHARE * size[0] * size[1]:
        return node
    voice.note(
        f"only {left}, {top} to {right}, {bottom} is drawn: what is masked and {request.inpaint_feather} px "
        "about it, at least as large as the model; `crop_inpaint` false draws all"
    )
    return replace(node, crop=Bounds(left=left, top=top, right=right, bottom=bottom))


def sized(node: Node, engine_px: int, voice: Voice) -> Node:
    """Draw what is smaller than the model larger, if that was asked for."""
    if not node.scale_to_model_size:
        return node
    area = node.drawn
    size = (area.right - area.left, area.bottom - area.top)
    drawn = enlarged_to(size, engine_px, MAX_ENLARGEMENT)
    if drawn is None:
        if min(size) < engine_px:
            voice.note(
                f"{size[0]} x {size[1]} px is too small to be drawn at the model's {engine_px} px: "
                f"that would enlarge it more than {MAX_ENLARGEMENT:g} times"
            )
        return node
    voice.note(f"drawn at {drawn[0]} x {drawn[1]} and scaled back to {size[0]} x {size[1]}")
    return replace(node, draw_width=drawn[0], draw_height=drawn[1])
