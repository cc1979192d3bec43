"""How long a plan is, in the ticks that progress counts."""

from __future__ import annotations

from ..contracts.plan import Node, Plan
from ..geometry import round_up, window_count

__all__ = ["chunk_count", "progress_ticks", "scheduled_steps"]

CELL_PX = 8


def scheduled_steps(node: Node) -> int:
    """Say how many of the asked steps are taken: all, or the share that `strength` leaves of an image."""
    steps = node.num_inference_steps
    return steps if node.image is None else min(int(steps * node.strength), steps)


def chunk_count(plan: Plan, node: Node) -> int:
    """Say how many windows cover a node's canvas at every step."""
    height, width = round_up(node.height, CELL_PX) // CELL_PX, round_up(node.width, CELL_PX) // CELL_PX
    return window_count(height, width, plan.size // CELL_PX, plan.chunking_size // CELL_PX)


def progress_ticks(plan: Plan, unet_calls: int | None = None) -> int:
    """Count ticks: each chunk one a step, one to decode, one to encode an image, one an intermediate.

    `unet_calls` replaces the number of steps where a scheduler takes more than one call a step
    (Heun's 2n - 1). 40 steps in one chunk, an intermediate every 10, are 45.
    """
    return sum(_node_ticks(plan, node, unet_calls) for node in plan.nodes)


def _node_ticks(plan: Plan, node: Node, unet_calls: int | None) -> int:
    steps = scheduled_steps(node) if unet_calls is None else unet_calls
    decodes = steps // plan.image_callback_steps if plan.intermediates else 0
    encodes = 0 if node.image is None else 1
    return chunk_count(plan, node) * (steps + 1 + encodes + decodes)
