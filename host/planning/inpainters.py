"""Which model fills masks, and over windows of what size."""

from __future__ import annotations

from pathlib import Path

from ..contracts.models import Family, WeightFile
from ..contracts.plan import Node
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import ModelOffer
from ..errors import BadRequestError, NotFoundError
from ..geometry import round_up
from .defaults import size_px
from .masks import Voice

__all__ = ["inpainter", "told"]

CHANNELS = (4, 9)


def inpainter(
    request: InvocationRequest, host: HostView, base: WeightFile, size: int, voice: Voice
) -> tuple[WeightFile | None, int | None]:
    """Find the inpainter that was asked for, and the side in pixels of its windows.

    The side is `inpainter_size`, else `size` if the inpainter is of the base's family, else its own.
    None where nothing was asked for: the base model fills masks at its own size.
    """
    asked = None if request.inpainter_size is None else round_up(request.inpainter_size)
    if request.inpainter is None:
        return None, asked
    try:
        found = host.resolve_model(request.inpainter, kinds=("diffusers", "checkpoint"))
    except (BadRequestError, NotFoundError) as error:
        voice.fault("inpainter", str(error))
        return None, asked
    called = f"'{found.name or found.path}'"
    if found.family is Family.SDXL_REFINER or found.in_channels not in CHANNELS:
        voice.fault("inpainter", f"{called} fills no masks; name a base model or an inpainting model")
    if asked is None:
        asked = size if found.family == base.family else round_up(size_px(found, _offer(found, host)))
    return found, asked


def _offer(weights: WeightFile, host: HostView) -> ModelOffer | None:
    path = Path(weights.path)
    offers = [offer for offer in host.offers("models").values() if isinstance(offer, ModelOffer)]
    return next((offer for offer in offers if Path(offer.path).absolute() == path), None)


def told(node: Node, found: WeightFile | None, voice: Voice) -> None:
    """Say who fills a mask where that is not plain from the request."""
    if node.paints and found is None:
        voice.note(
            "no inpainter was named, so the base model fills the mask; what stays is laid over it after "
            "every step"
        )
    elif not node.paints and found is not None:
        voice.note("the inpainter is not used: there is nothing to fill")
