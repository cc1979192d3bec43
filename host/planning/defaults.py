"""What decides where the caller said nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..contracts.models import Family, WeightFile
from ..contracts.protocols import HostView
from ..contracts.request import INTERNAL, InvocationRequest
from ..contracts.specs import ModelOffer
from ..errors import ConfigurationError, did_you_mean

__all__ = ["offer_of", "size_px", "with_offer", "with_stored"]

_BLANK = InvocationRequest()
_NAMES = tuple(field.name for field in fields(InvocationRequest) if field.name not in INTERNAL)


def with_stored(request: InvocationRequest) -> InvocationRequest:
    """Let a stored model's parameters (`request.defaults`) stand where the caller sent none.

    `request.defaults` holds only what the caller did not send, so a field is free when it is at
    the default of its type; a value that is not, was sent and stays.
    """
    known = _checked(request.defaults, "the stored model's parameters")
    free = {name: value for name, value in known.items() if getattr(request, name) == getattr(_BLANK, name)}
    return replace(request, **free)


def with_offer(request: InvocationRequest, offer: ModelOffer | None) -> InvocationRequest:
    """Let a model's own defaults stand where neither caller nor stored model say anything (None)."""
    if offer is None:
        return request
    known = _checked(offer.defaults, f"the defaults of the model '{offer.name}'")
    return replace(
        request, **{name: value for name, value in known.items() if getattr(request, name) is None}
    )


def _checked(values: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    for name in values:
        if name not in _NAMES:
            raise ConfigurationError(
                f"{what} name '{name}', which is no parameter; {did_you_mean(name, _NAMES)}"
            )
    return values


def size_px(weights: WeightFile, offer: ModelOffer | None) -> int:
    """Say the side in pixels that a model was trained at: what it tells itself, else its family's."""
    if offer is not None:
        return offer.size_px
    if weights.size_px is not None:
        return weights.size_px
    if weights.family in (Family.SDXL, Family.SDXL_REFINER):
        return 1024
    if weights.family is Family.SD2 and weights.prediction_type == "v_prediction":
        return 768
    return 512


def offer_of(weights: WeightFile, host: HostView) -> ModelOffer | None:
    """Find the offer whose weights these are; None for a file of nobody's."""
    path = Path(weights.path)
    offers = [offer for offer in host.offers("models").values() if isinstance(offer, ModelOffer)]
    return next((offer for offer in offers if Path(offer.path).absolute() == path), None)
