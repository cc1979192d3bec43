"""What a picture that goes on at its other end must be like, and what cannot be done with it."""

from __future__ import annotations

from .canvas import CELL_PX, Canvas
from .draft import Draft

__all__ = ["check_seamless"]


def check_seamless(draft: Draft, canvas: Canvas) -> None:
    """Tell what `tile` cannot be done with: borders inside of a latent cell, and scaling that blurs over them."""
    request = draft.request
    for name, side, wraps in zip(
        ("width", "height"), (canvas.width, canvas.height), request.tile, strict=True
    ):
        if wraps and side % CELL_PX:
            below = side // CELL_PX * CELL_PX
            near = f"{below} or {below + CELL_PX}" if below else f"{CELL_PX}"
            draft.fault(name, f"{side} px cannot be seamless, only multiples of {CELL_PX}; give {near}")
    if any(request.tile) and request.scale_to_model_size:
        draft.fault(
            "scale_to_model_size", "scales borders too, which `tile` keeps seamless; leave one of the two out"
        )
