"""Which model refines what was drawn, at what size, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..contracts.models import Family, WeightFile
from ..contracts.plan import Node
from ..contracts.protocols import HostView
from ..contracts.refining import Refining
from ..contracts.request import InvocationRequest
from ..geometry import round_up, window_count
from .defaults import offer_of, size_px
from .draft import REFUSED
from .enlarging import MAX_WINDOWS
from .masks import Voice

__all__ = ["Drawn", "Finish", "finisher"]

CELL_PX = 8
CHANNELS = 4
# These draw in the same latents, so that one can go on where the other stopped.
SAME_LATENTS = (Family.SDXL, Family.SDXL_REFINER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What the refiner comes after: the base model, the side of its windows in pixels, and how far they move."""

    weights: WeightFile
    size_px: int
    stride_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The refiner that was asked for, if any, and the side in pixels of its windows."""

    request: InvocationRequest
    drawn: Drawn
    voice: Voice
    weights: WeightFile | None = None
    size_px: int | None = None

    def of(self, node: Node) -> Node:
        """Say how a node is refined; it is not where there is no refiner, or nothing for it to do."""
        refining = self._refining(node)
        if refining is None or self.size_px is None:
            return node
        if refining.start is None:
            self._check_windows(node, self.size_px)
        else:
            self._check_start(node, refining.start)
        return replace(node, refining=refining)

    def _refining(self, node: Node) -> Refining | None:
        request = self.request
        if self.weights is None:
            return None
        if node.crop is not None:
            self.voice.note("what is repainted is only a part of the picture, so it is not refined")
            return None
        refining = Refining(
            strength=request.refiner_strength,
            guidance_scale=request.refiner_guidance_scale,
            aesthetic_score=request.refiner_aesthetic_score,
            negative_aesthetic_score=request.refiner_negative_aesthetic_score,
            start=None if request.refiner_start == 1.0 else request.refiner_start,
        )
        if request.refiner_start == 1.0:
            self.voice.note("refiner_start 1 leaves the refiner nothing to do")
            return None
        if (
            refining.start is not None
            and node.image is not None
            and not int(node.num_inference_steps * node.strength)
        ):
            self.voice.note("nothing is drawn over the image, so there is nothing to refine")
            return None
        if refining.start is None and not refining.steps(node.num_inference_steps):
            self.voice.note(
                f"not refined: {node.num_inference_steps} steps at refiner_strength {refining.strength:g} are none"
            )
            return None
        return refining

    def _check_windows(self, node: Node, side_px: int) -> None:
        width, height = Refining.enlarged(node.width, node.height, side_px)
        cells = round_up(height) // CELL_PX, round_up(width) // CELL_PX
        count = window_count(*cells, side_px // CELL_PX, self.drawn.stride_px // CELL_PX)
        if count > MAX_WINDOWS:
            self.voice.fault(
                "refiner_size",
                f"{side_px} px gives {count} windows a step at {width} x {height} px; at most {MAX_WINDOWS} are "
                "drawn, so change it, or raise chunking_size",
            )

    def _check_start(self, node: Node, start: float) -> None:
        assert self.weights is not None  # noqa: S101 - only asked where there is a refiner
        families = {self.weights.family, self.drawn.weights.family}
        if len(families) > 1 and not families <= set(SAME_LATENTS):
            called = " and ".join(sorted(str(family) for family in families))
            self.voice.fault(
                "refiner_start",
                f"{called} models draw in different latents; leave it out, and the finished picture is refined",
            )
        if node.paints:
            self.voice.fault(
                "refiner_start", "hands whole pictures over; leave it out where a mask is filled"
            )
        begins = 0.0 if node.image is None else 1 - node.strength
        if start <= begins:
            self.voice.fault(
                "refiner_start",
                f"{start:g} leaves the base model nothing to do; give more than {begins:g}, or name the refiner as `model`",
            )
        if self.request.refiner_size is not None:
            self.voice.note(
                "refiner_size is not used: with refiner_start the refiner goes on at the base's size"
            )


def finisher(request: InvocationRequest, host: HostView, drawn: Drawn, voice: Voice) -> Finish:
    """Find the refiner that was asked for, and the side in pixels of its windows.

    The side is `refiner_size`, else the base's if both are SDXL's or of one family, else the refiner's own.
    """
    finish = Finish(request=request, drawn=drawn, voice=voice)
    if request.refiner is None:
        if request.refiner_start is not None or request.refiner_size is not None:
            voice.note("nothing is refined: no refiner was named")
        return finish
    try:
        found = host.resolve_model(request.refiner, kinds=("diffusers", "checkpoint"))
    except REFUSED as error:
        voice.fault("refiner", str(error))
        return finish
    if found.in_channels != CHANNELS:
        called = f"'{found.name or found.path}'"
        voice.fault(
            "refiner", f"{called} takes {found.in_channels} input channels; a refiner takes {CHANNELS}"
        )
    side = request.refiner_size
    if side is None:
        alike = found.family == drawn.weights.family or {found.family, drawn.weights.family} <= set(
            SAME_LATENTS
        )
        side = drawn.size_px if alike else size_px(found, offer_of(found, host))
    return replace(finish, weights=found, size_px=round_up(side))
