"""Which lengths of their axes engines are built for, by policy: one size, or a range of sizes."""

from __future__ import annotations

from typing import Literal

from ..contracts.engines import AxisRange, Component, Profile
from ..contracts.models import Role
from ..contracts.plan import Plan
from .components import CELL_PX

__all__ = ["TOKENS", "is_windowed", "profile_of", "window_px"]

TOKENS = 77  # of one chunk of a prompt, CLIP's context
_LONGEST = 8  # chunks
_ROWS = 16  # eight pictures, twice with guidance
_LARGE_PX = 512  # above, four pictures
_LARGE_ROWS = 8
_DECODED = 4  # pictures in one call of the VAE
_RANGE_PX = (64, 2048)
_UNETS = (Component.UNET, Component.CONTROLLED_UNET, Component.CONTROLNET)
_TEXTS = (Component.TEXT_ENCODER, Component.TEXT_ENCODER_2)


def profile_of(policy: Literal["static", "range"], component: Component, size_px: int) -> Profile:
    """Give the ranges of the axes for a model that draws in windows of `size_px` pixels.

    "static" takes squares of that size alone and prompts of one chunk; "range" whatever lies between
    64 and 2048 pixels a side and prompts of up to eight chunks. Batches are always a range.
    """
    cells = -(-size_px // CELL_PX)
    if policy == "static":
        side, tokens = AxisRange.only(cells), AxisRange.only(TOKENS)
    else:
        low, high = (px // CELL_PX for px in _RANGE_PX)
        side = AxisRange(min=min(low, cells), opt=cells, max=max(high, cells))
        tokens = AxisRange(min=TOKENS, opt=TOKENS, max=TOKENS * _LONGEST)
    if component in _TEXTS:
        return {"batch": AxisRange(min=1, opt=2, max=_ROWS)}
    if component in _UNETS:
        rows = _ROWS if size_px <= _LARGE_PX else _LARGE_ROWS
        batch = AxisRange(min=1, opt=2, max=rows)
        return {"batch": batch, "height": side, "width": side, "tokens": tokens}
    batch = AxisRange(min=1, opt=1, max=_DECODED)
    return {"batch": batch, "height": side, "width": side}


def window_px(plan: Plan, role: Role) -> int:
    """Give the side in pixels of the windows that a model of this role draws in."""
    own = {Role.INPAINTER: plan.inpainter_size, Role.REFINER: plan.refiner_size}
    return own.get(role) or plan.size


def is_windowed(plan: Plan, role: Role) -> bool:
    """Say whether a model of this role draws anything in more than one window."""
    nodes = [*plan.nodes, *(child for node in plan.nodes for child in node.children)]
    side_px = window_px(plan, role)
    if plan.chunking_size and any(max(node.canvas_px) > side_px for node in nodes if not node.paste):
        return True
    amount = 1
    for stage in plan.upscale if role is Role.BASE else ():
        amount *= stage.amount
        again = stage.diffusion
        if again and again.chunking_size and max(plan.width, plan.height) * amount > side_px:
            return True
    return False
