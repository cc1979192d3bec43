"""The model that ships: small, drawn from a world of shapes and common things, 128 px."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stretto.host import Family, ModelOffer, hookimpl

__all__ = ["register_models"]

MODEL = Path(__file__).parent / "model"
# What was trained for this model and for no other; a package may come without it.
CONTROLNETS = {"canny": Path(__file__).parent / "companions" / "canny-controlnet"}


@hookimpl
def register_models() -> Iterable[ModelOffer]:
    """Offer the packaged folder; nothing, when the package was made without its weights."""
    if not (MODEL / "model_index.json").is_file():
        return []
    return [
        ModelOffer(
            name="starter",
            title="Starter: shapes and common things on coloured grounds",
            path=str(MODEL),
            family=Family.SD1,
            size_px=128,
            # A size // 8 of so small a model would make 64 windows of what 9 cover.
            defaults={
                "chunking_size": 64,
                "chunking_blur": 64,
                "upscale_diffusion_chunking_size": 64,
                "upscale_diffusion_chunking_blur": 64,
            },
            controlnets={
                name: str(folder)
                for name, folder in CONTROLNETS.items()
                if (folder / "config.json").is_file()
            },
        )
    ]
