"""What nodes leave empty: whether it can be anything, and how it is painted from the invocation's own prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..contracts.plan import Bounds, Node, Remainder
from ..errors import EngineError
from ..geometry import grown
from .drawing import Studio, Words, rectangle
from .masks import MAX_CROP_SHARE

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["plan_remainder"]

# Of the side of a window: how far the rest reaches into what nodes drew, at most.
FEATHER_SHARE = 16


def plan_remainder(studio: Studio, nodes: Sequence[Node], words: Words) -> Remainder | None:
    """Plan the painting of what may be empty; None if nothing can be, or nobody said what to paint."""
    draft, canvas = studio.draft, studio.canvas
    try:
        empty = _empty(nodes, (canvas.width, canvas.height))
    except EngineError as error:
        draft.fault("nodes", str(error))
        return None
    box = empty.getbbox()
    if box is None:
        return None
    share = 100 * sum(empty.histogram()[128:]) / (canvas.width * canvas.height)
    much = f"the nodes leave up to {share:.0f} % of the canvas empty"
    if not words[0].strip():
        draft.notes.append(f"{much}; that stays transparent, as the invocation has no prompt of its own")
        return None
    request = replace(draft.request, image=None, mask=None, control_image=None, strength=1.0)
    bounds = Bounds(left=0, top=0, right=canvas.width, bottom=canvas.height)
    feather = min(request.inpaint_feather, (studio.filler_px or canvas.size) // FEATHER_SHARE)
    draft.notes.append(
        f"{much}; that is painted from the invocation's prompt, {feather} px into what they drew"
    )
    node = replace(rectangle(request, bounds, words), outpaint=True)
    node = replace(node, crop=_crop(studio, box, feather))
    node = studio.sized(node, request, draft.voice)
    if request.refiner_start is not None:
        draft.notes.append("what the nodes leave empty is not refined: refiner_start is for whole pictures")
        return Remainder(node=node, feather_px=feather)
    return Remainder(node=studio.refined(node, request, draft.voice), feather_px=feather)


def _empty(nodes: Sequence[Node], size: tuple[int, int]) -> Image.Image:
    """Give what may be empty when all nodes are laid, in levels from 0 to 255; raises EngineError."""
    from PIL import Image

    from ..engine.layers import landed

    empty = Image.new("L", size, 255)
    for node in nodes:
        if node.remove_background and not node.outpaint and not node.children:  # nobody knows yet what goes
            continue
        empty.paste(
            0, (node.bounds.left, node.bounds.top, node.bounds.right, node.bounds.bottom), landed(node)
        )
    return empty


def _crop(studio: Studio, box: tuple[int, int, int, int], feather: int) -> Bounds | None:
    """Give the part of the canvas that is drawn, where the rest is only a part of a large one."""
    request, canvas = studio.draft.request, studio.canvas
    engine_px, size = studio.filler_px or canvas.size, (canvas.width, canvas.height)
    if not request.crop_inpaint or max(size) <= engine_px or any(request.tile):
        return None
    left, top, right, bottom = grown(box, size, max(feather, request.inpaint_feather), engine_px)
    if (right - left) * (bottom - top) >= MAX_CROP_SHARE * size[0] * size[1]:
        return None
    return Bounds(left=left, top=top, right=right, bottom=bottom)
