"""A base model that sees masks: it fills what is to be filled, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..contracts.plan import Node, UpscaleStage
from .draft import Draft

__all__ = ["SEES_MASKS", "check_filler"]

SEES_MASKS = 9  # channels of a UNet that is told the mask and what is around it


def check_filler(draft: Draft, nodes: Iterable[Node], stages: Sequence[UpscaleStage]) -> None:
    """Tell what an inpainting model that was named as the model would have to draw, and cannot."""
    weights = draft.weights
    if weights.in_channels != SEES_MASKS:
        return
    called = f"'{weights.name or weights.path}' is an inpainting model, which only fills masked parts"
    if not all(node.paints for node in nodes):
        draft.fault(
            "model",
            f"{called}; send an image with a mask (or with less than the canvas), or name its base model",
        )
    elif draft.request.refiner is None and any(stage.diffusion for stage in stages):
        draft.fault(
            "upscale_diffusion", f"{called}, and cannot draw over what was enlarged; name a refiner that can"
        )
