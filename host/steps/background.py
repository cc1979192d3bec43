"""Removing backgrounds: every picture so far through a network that some plugin offers."""

from __future__ import annotations

from dataclasses import replace

from ..contracts.plan import RemoveBackground
from ..contracts.protocols import BackgroundRemover, Bench, Frame
from ..engine.device import out_of_memory_said

__all__ = ["remove_background"]


def remove_background(step: RemoveBackground, frame: Frame, bench: Bench) -> Frame:
    """Give every picture as RGBA, transparent behind its subject; says so where no subject was found."""
    bench.tick(f"loading {step.remover.weights.name}", ticks=0)
    spec = bench.host.offer("background_removers", step.remover.method)
    remover: BackgroundRemover = spec.open(step.remover.weights, bench.device)
    images = []
    for index, image in enumerate(frame.images):
        bench.tick(step.why, ticks=0)
        with out_of_memory_said(f"removing the background of {image.width} x {image.height} px"):
            cut = remover.remove(image)
        if not cut.getchannel("A").getbbox():
            bench.note(
                f"'{step.remover.method}' found no subject in picture {index}: all of it is transparent"
            )
        images.append(cut)
    return replace(frame, images=tuple(images))
