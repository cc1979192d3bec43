"""Regions of a request that are denoised together: `nodes` in the region mode "latent"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from ..contracts.plan import Bounds, Node, Region
from ..contracts.request import NodeRequest
from ..geometry import over_regions
from .backgrounds import with_background
from .canvas import CELL_PX
from .drawing import DEFAULT_GUIDANCE, Drawing, Studio, Words, rectangle

__all__ = ["draw_regions"]

# What a region has of its own; all else is the same for the whole canvas, which is denoised at once.
OWN = ("x", "y", "w", "h", "prompt", "negative_prompt", "guidance_scale")
_BLANK = NodeRequest()


def draw_regions(studio: Studio, words: Words) -> Drawing:
    """Plan one node over the whole canvas, whose regions are drawn together, each by its own words.

    What no region covers is drawn by the invocation's words. Faults are told with their paths.
    """
    draft, canvas = studio.draft, studio.canvas
    bounds = Bounds(left=0, top=0, right=canvas.width, bottom=canvas.height)
    # a part that is drawn by itself would hold parts of regions
    request = replace(draft.request, crop_inpaint=False, nodes=())
    if request.scale_to_model_size:
        draft.fault(
            "scale_to_model_size", 'is not for region_mode "latent": regions are drawn at their own size'
        )
    node = with_background(rectangle(request, bounds, words), request, draft.voice)
    node = studio.guided(studio.settled(node, request, draft.voice), request, draft.voice)
    node = replace(node, regions=tuple(_regions(studio)))
    if node.regions:
        _count(studio, node)
    elif not node.prompt.strip() and not draft.faults:
        draft.fault("nodes", "all lie outside of the canvas, and there is no prompt; move one onto it")
    return Drawing(nodes=(node,))


def _count(studio: Studio, node: Node) -> None:
    """Count the windows over all regions; say so where nobody said what the rest is."""
    canvas, tile = studio.canvas, studio.draft.request.tile
    size, stride = canvas.size // CELL_PX, canvas.stride // CELL_PX
    height, width = node.canvas_px
    laid = over_regions((height // CELL_PX, width // CELL_PX), node.areas, size, stride, tile)
    studio.windows = sum(len(windows) for windows in laid)
    if laid[-1] and not node.prompt.strip():
        studio.draft.notes.append(
            "no region covers all of the canvas, and there is no prompt for what none covers, so that is drawn "
            "by no words; give `prompt`, which is for it"
        )


def _regions(studio: Studio) -> Iterator[Region]:
    for index, asked in enumerate(studio.draft.request.nodes):
        region = _region(studio, asked, f"nodes[{index}]")
        if region is not None:
            yield region


def _region(studio: Studio, asked: NodeRequest, path: str) -> Region | None:
    draft, request = studio.draft, studio.draft.request
    for field in fields(NodeRequest):
        if field.name not in OWN and getattr(asked, field.name) != getattr(_BLANK, field.name):
            draft.fault(
                f"{path}.{field.name}",
                'is not for region_mode "latent", where all regions are denoised together; '
                'leave it out, or set region_mode to "paste"',
            )
    if not (asked.prompt or "").strip():
        draft.fault(f"{path}.prompt", "is empty; say what to draw in this region")
        return None
    bounds = _bounds(studio, asked, path)
    if bounds is None:
        return None
    positive = (asked.prompt, request.model_prompt)
    negative = (asked.negative_prompt, request.negative_prompt, request.model_negative_prompt)
    scale = request.guidance_scale if asked.guidance_scale is None else asked.guidance_scale
    return Region(
        bounds=bounds,
        prompt=", ".join(dict.fromkeys(part for part in positive if part)),
        negative_prompt=", ".join(dict.fromkeys(part for part in negative if part)),
        guidance_scale=DEFAULT_GUIDANCE if scale is None else scale,
    )


def _bounds(studio: Studio, asked: NodeRequest, path: str) -> Bounds | None:
    """Give what of a region is on the canvas; None where a side is missing, or nothing is."""
    draft, canvas = studio.draft, studio.canvas
    for name, side in (("w", "width"), ("h", "height")):
        if getattr(asked, name) is None:
            draft.fault(f"{path}.{name}", f"a region needs a {side}; give it in pixels")
    if asked.w is None or asked.h is None:
        return None
    left, right = max(0, asked.x), min(canvas.width, asked.x + asked.w)
    top, bottom = max(0, asked.y), min(canvas.height, asked.y + asked.h)
    if left < right and top < bottom:
        if right - left < min(canvas.size, canvas.width) or bottom - top < min(canvas.size, canvas.height):
            draft.notes.append(
                f"{path} is smaller than the {canvas.size} px of the model, so it is drawn with what is around it, "
                "and its subject may be cut"
            )
        return Bounds(left=left, top=top, right=right, bottom=bottom)
    draft.notes.append(
        f"{path}: {asked.x}, {asked.y} to {asked.x + asked.w}, {asked.y + asked.h} is outside the canvas of "
        f"{canvas.width} x {canvas.height} px, so it is not drawn"
    )
    return None
