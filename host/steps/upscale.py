"""Enlarging: every picture so far through an upscaler that some plugin offers."""

from __future__ import annotations

from dataclasses import replace

from ..contracts.plan import Upscale
from ..contracts.protocols import Bench, Frame, Upscaler
from ..engine.device import out_of_memory_said

__all__ = ["upscale"]


def upscale(step: Upscale, frame: Frame, bench: Bench) -> Frame:
    """Enlarge every picture with the stage's method; a stopped job ends between two pictures."""
    upscaler: Upscaler = bench.host.offer("upscalers", step.stage.method).build(bench.device)
    images = []
    for image in frame.images:
        bench.tick(step.why, ticks=0)
        with out_of_memory_said(f"enlarging {image.width} x {image.height} px {step.stage.amount} times"):
            images.append(upscaler.upscale(image, step.stage.amount))
    return replace(frame, images=tuple(images))
