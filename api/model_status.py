"""What a stored model would load, and which compiled engines there are for it on this machine."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from stretto.host.contracts.models import Family
from stretto.host.errors import StrettoError

from .engines import Engines, as_refiner
from .models import StoredModel

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["status_of"]

XL = (Family.SDXL, Family.SDXL_REFINER)


def status_of(model: StoredModel, host: Host) -> dict[str, Any]:
    """Give the names of base, inpainter and refiner, and the state of engines for each; a reason where none."""
    base = PurePath(model.model)
    parts = model.parts
    inpainter = parts.inpainter or f"{base.stem}-inpainting{base.suffix}"
    refiner = parts.refiner
    engines = Engines(host)
    return {
        "model": model.model,
        "refiner": refiner,
        "inpainter": inpainter,
        "tensorrt": {
            "base": _engines(model.model, model, model.size, host, engines),
            "inpainter": _engines(inpainter, model, parts.inpainter_size or model.size, host, engines),
            "refiner": _engines(refiner, as_refiner(model), parts.refiner_size or model.size, host, engines)
            if refiner
            else None,
        },
    }


def _engines(name: str, model: StoredModel, size_px: int, host: Host, engines: Engines) -> dict[str, Any]:
    try:
        weights = host.resolve_model(name)
    except StrettoError as error:
        return {"supported": False, "xl": False, "ready": False, "reason": str(error)}
    xl = weights.family in XL
    if why := _obstacle(host):
        return {"supported": False, "xl": xl, "ready": False, "reason": why}
    found = engines.ready(weights, model, size_px)
    texts = {"text_encoder", "text_encoder_2"} if xl else {"text_encoder"}
    return {
        "supported": True,
        "xl": xl,
        "ready": "unet" in found,
        "unet_ready": "unet" in found,
        "controlled_unet_ready": "controlled_unet" in found,
        "vae_ready": {"vae_encoder", "vae_decoder"} <= found,
        "clip_ready": texts <= found,
    }


def _obstacle(host: Host) -> str | None:
    """Say why no compiler works here; None where one does."""
    reasons = {name: spec.missing() for name, spec in host.offers("compilers").items()}
    if not reasons:
        return "no plugin here compiles networks; models run as they are"
    if None in reasons.values():
        return None
    return "; ".join(f"'{name}': {why}" for name, why in reasons.items())
