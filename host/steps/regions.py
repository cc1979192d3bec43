"""Regions of a node: what guides each, and the windows over all of them."""

from __future__ import annotations

from ..contracts.plan import Node, Plan
from ..contracts.protocols import Bench, LoadedModel
from ..contracts.refining import Refining
from ..engine.components import CELL_PX, home_of
from ..engine.conditioning import Conditions, conditions
from ..engine.latents import Mosaic, lay_windows
from ..engine.regions import Regions, lay_regions
from ..geometry import area_of, over_regions
from .canvas import canvas_px

__all__ = ["lay_node", "windows_over"]


def lay_node(
    node: Node, model: LoadedModel, guides: Conditions, bench: Bench, refining: Refining | None = None
) -> Mosaic | Regions:
    """Lay windows over a node, or over each of its regions; `guides` is for what no region covers.

    A region is told the size of the area that it is drawn in, as if that were a picture by itself.
    `refining` says how a refiner that goes on with it is guided.
    """
    plan, size_px = bench.plan, canvas_px(node)
    device, chunking = home_of(model.unet), plan.chunking(node)
    if not node.regions:
        return lay_windows(size_px, chunking, device)
    canvas = size_px[0] // CELL_PX, size_px[1] // CELL_PX
    areas = [area_of(box, canvas, chunking.size_px // CELL_PX) for box in node.areas]
    told = [
        conditions(
            model,
            plan.wording(model.spec, region.negative_prompt, region.prompt),
            region.guidance_scale if refining is None else refining.guidance_scale,
            (area.height * CELL_PX, area.width * CELL_PX),
            bench.cache,
            None if refining is None else refining.scores,
        )
        for region, area in zip(node.regions, areas, strict=True)
    ]
    return lay_regions(size_px, node.areas, [*told, guides], chunking, device)


def windows_over(node: Node, plan: Plan) -> int:
    """Count the windows over a node and its regions."""
    size_px, chunking = canvas_px(node), plan.chunking(node)
    if not node.regions:
        return len(lay_windows(size_px, chunking).windows)
    cells = size_px[0] // CELL_PX, size_px[1] // CELL_PX
    size, stride = chunking.size_px // CELL_PX, chunking.stride_px // CELL_PX
    return sum(len(laid) for laid in over_regions(cells, node.areas, size, stride, chunking.tile))
