"""What decides where the caller said nothing, and which parameters this version does not do yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..contracts.models import Family, WeightFile
from ..contracts.protocols import HostView
from ..contracts.request import INTERNAL, InvocationRequest
from ..contracts.specs import ModelOffer
from ..errors import ConfigurationError, UnsupportedError, did_you_mean

__all__ = ["DONE", "offer_of", "refuse_unsupported", "size_px", "with_offer", "with_stored"]

# The parameters that planning reads; any other one that is not at its default is refused.
DONE = frozenset({
    "anchor", "chunking_blur", "chunking_size", "clip_skip", "conditioning_scale", "control_image", "controlnet",
    "controlnets", "crop_inpaint", "fill_background", "fit", "guidance_scale", "invert_control_image",
    "process_control_image",
    "height", "image", "image_callback_steps", "inpaint_feather", "inpainter", "inpainter_size",
    "intermediates", "inversion", "iterations", "invert_mask", "lora", "lycoris", "mask", "model",
    "model_negative_prompt", "model_prompt", "model_type", "multi_scheduler", "negative_prompt", "nodes", "noise_offset",
    "num_inference_steps", "outscale", "precision", "prompt", "refiner", "refiner_aesthetic_score",
    "refiner_guidance_scale", "refiner_negative_aesthetic_score", "refiner_size", "refiner_start",
    "refiner_strength", "region_mode", "remove_background", "safe", "samples",
    "scale_to_model_size", "scheduler", "seed", "size", "strength", "tile", "upscale", "upscale_diffusion",
    "upscale_diffusion_chunking_blur", "upscale_diffusion_chunking_size", "upscale_diffusion_controlnet",
    "upscale_diffusion_controlnet_scale",
    "upscale_diffusion_guidance_scale", "upscale_diffusion_negative_prompt", "upscale_diffusion_prompt",
    "upscale_diffusion_scale_chunking_blur", "upscale_diffusion_scale_chunking_size",
    "upscale_diffusion_steps", "upscale_diffusion_strength", "upscale_iterative", "vae", "width",
})  # fmt: skip

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


def refuse_unsupported(request: InvocationRequest) -> None:
    """Raise UnsupportedError naming every parameter that was set and that nothing here would read."""
    asked = [name for name in _NAMES if name not in DONE and getattr(request, name) != getattr(_BLANK, name)]
    if asked:
        raise UnsupportedError(f"this version cannot do {_listed(asked)} yet; leave {_pronoun(asked)} out")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _pronoun(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


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
