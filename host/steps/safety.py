"""Withholding pictures: the safety checker looks at what was drawn, and what it flags goes no further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from PIL import Image

from ..contracts.models import ModelSpec, Precision, Role
from ..contracts.protocols import Bench, Frame
from ..contracts.steps import CheckSafety
from ..engine.device import out_of_memory_said
from ..engine.safety import flags

__all__ = ["among_kept", "check_safety"]

S = TypeVar("S")


def check_safety(step: CheckSafety, frame: Frame, bench: Bench) -> Frame:
    """Put a blank picture in the place of each one that is flagged; once flagged, a sample stays so."""
    bench.tick(step.why, ticks=0)
    # in float32 on every device, so that what is flagged does not depend on where it is drawn
    spec = ModelSpec(role=Role.SAFETY, weights=step.checker, precision=Precision.FLOAT32)
    kept = [index for index in range(len(frame.images)) if index not in frame.flagged]
    with out_of_memory_said(f"checking {len(kept)} pictures"):
        found = flags(bench.model(spec), [frame.images[index] for index in kept])
    flagged = {index for index, flag in zip(kept, found, strict=True) if flag}.union(frame.flagged)
    images = tuple(
        Image.new("RGB", image.size) if index in flagged else image
        for index, image in enumerate(frame.images)
    )
    if flagged:
        bench.note(f"safe: {len(flagged)} of {len(images)} pictures were withheld")
    return replace(frame, images=images, flagged=tuple(sorted(flagged)))


def among_kept(do: Callable[[S, Frame, Bench], Frame], step: S, frame: Frame, bench: Bench) -> Frame:
    """Do a step to the pictures that are not withheld; the blank ones stay as they are, in their places."""
    if not frame.flagged:
        return do(step, frame, bench)
    kept = tuple(image for index, image in enumerate(frame.images) if index not in frame.flagged)
    if not kept:
        return frame
    done = do(step, replace(frame, images=kept), bench)
    after = iter(done.images)
    images = tuple(
        image if index in frame.flagged else next(after) for index, image in enumerate(frame.images)
    )
    return replace(done, images=images)
