"""What a stored model would load, and what compiled engines there are for it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from stretto.host.contracts.models import Family
from stretto.host.errors import StrettoError

from .models import StoredModel

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["status_of"]

XL = (Family.SDXL, Family.SDXL_REFINER)


def status_of(model: StoredModel, host: Host) -> dict[str, Any]:
    """Give the names of base, inpainter and refiner, and the state of engines for each; a reason where none."""
    base = PurePath(model.model)
    inpainter = model.parts.inpainter or f"{base.stem}-inpainting{base.suffix}"
    refiner = model.parts.refiner
    return {
        "model": model.model,
        "refiner": refiner,
        "inpainter": inpainter,
        "tensorrt": {
            "base": _engines(model.model, host),
            "inpainter": _engines(inpainter, host),
            "refiner": _engines(refiner, host) if refiner else None,
        },
    }


def _engines(name: str, host: Host) -> dict[str, Any]:
    try:
        family = host.resolve_model(name).family
    except StrettoError as error:
        return {"supported": False, "xl": False, "ready": False, "reason": str(error)}
    return {
        "supported": False,
        "xl": family in XL,
        "ready": False,
        "reason": "no plugin here compiles networks; models run as they are",
    }
