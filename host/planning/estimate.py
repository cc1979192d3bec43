"""How long a plan is, in the ticks that progress counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..contracts.plan import Node, Plan
from ..contracts.refining import Refining
from ..geometry import over_regions, round_up, window_count

__all__ = ["DrawnOver", "chunk_count", "drawn_over", "progress_ticks", "remainder_ticks", "scheduled_steps"]

CELL_PX = 8


def scheduled_steps(node: Node) -> int:
    """Say how many of the asked steps are taken: all, or the share that `strength` leaves of an image."""
    steps = node.num_inference_steps
    return steps if node.image is None else min(int(steps * node.strength), steps)


def chunk_count(plan: Plan, node: Node) -> int:
    """Say how many windows cover a node's canvas at every step."""
    height, width = (side // CELL_PX for side in node.canvas_px)
    size, stride = plan.engine_px(node) // CELL_PX, plan.chunking_size // CELL_PX
    if node.regions:
        laid = over_regions((height, width), node.areas, size, stride, plan.tiled(node))
        return sum(len(windows) for windows in laid)
    return window_count(height, width, size, stride, plan.tiled(node))


def progress_ticks(plan: Plan, unet_calls: int | None = None) -> int:
    """Count ticks: each chunk one a step, one to decode, one to encode an image, one its mask, one an intermediate.

    Nodes that are laid on one canvas are one more. `unet_calls` replaces the number of steps where a
    scheduler takes more than one call a step
    (Heun's 2n - 1). 40 steps in one chunk, an intermediate every 10, are 45.
    """
    if plan.builds:
        return len(plan.builds)
    drawn = sum(_node_ticks(plan, node, unet_calls) for node in plan.nodes if not node.paste)
    drawn += plan.samples * remainder_ticks(plan, unet_calls) + plan.composed
    redrawn = plan.samples * sum(again.chunks * (again.steps + 2) for again in drawn_over(plan))
    return plan.iterations * (drawn + redrawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnOver:
    """How much work it is to draw one enlarged picture over: windows and steps; 0 windows for none."""

    width: int
    height: int
    chunks: int
    steps: int


def drawn_over(plan: Plan) -> tuple[DrawnOver, ...]:
    """Say for each stage of enlarging how large pictures are then, and how they are drawn over."""
    width, height, found = plan.width, plan.height, []
    for stage in plan.upscale:
        width, height = width * stage.amount, height * stage.amount
        chunks = steps = 0
        if stage.diffusion is not None:
            cells = round_up(height, CELL_PX) // CELL_PX, round_up(width, CELL_PX) // CELL_PX
            stride = stage.diffusion.chunking_size // CELL_PX
            chunks = window_count(*cells, plan.size // CELL_PX, stride, plan.tile)
            steps = int(stage.diffusion.num_inference_steps * stage.diffusion.strength)
        found.append(DrawnOver(width=width, height=height, chunks=chunks, steps=steps))
    return tuple(found)


def _node_ticks(plan: Plan, node: Node, unet_calls: int | None) -> int:
    steps = scheduled_steps(node) if unet_calls is None else unet_calls
    decodes = steps // plan.image_callback_steps if plan.intermediates else 0
    encodes = 0 if node.image is None else 1 + node.paints
    before = sum(_node_ticks(plan, child, unet_calls) for child in node.children)
    return before + chunk_count(plan, node) * (steps + 1 + encodes + decodes) + _refined_ticks(plan, node)


def remainder_ticks(plan: Plan, unet_calls: int | None = None) -> int:
    """Count what it is to paint what nodes leave empty, for one sample: as an image with a mask."""
    if plan.remainder is None:
        return 0
    node, encodes = plan.remainder.node, 2
    one = replace(plan, samples=1)
    return _node_ticks(one, node, unet_calls) + encodes * chunk_count(plan, node)


def _refined_ticks(plan: Plan, node: Node) -> int:
    """Count what it is to refine a node's pictures, each by itself; latents taken over are counted already."""
    if node.refining is None or node.parted_at is not None or plan.refiner_size is None:
        return 0
    tile = plan.tiled(node)
    width, height = Refining.enlarged(node.width, node.height, plan.refiner_size, tile)
    cells = round_up(height, CELL_PX) // CELL_PX, round_up(width, CELL_PX) // CELL_PX
    chunks = window_count(*cells, plan.refiner_size // CELL_PX, plan.chunking_size // CELL_PX, tile)
    return plan.samples * chunks * (node.refining.steps(node.num_inference_steps) + 2)
