"""The model that ships: small, drawn from a world of shapes and common things, 128 px; and its inpainter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stretto.host import Family, ModelOffer, hookimpl

__all__ = ["register_models"]

HERE = Path(__file__).parent
MODEL = HERE / "model"
# What was trained for this model and for no other; a package may come without it.
CONTROLNETS = {"canny": HERE / "companions" / "canny-controlnet"}
INPAINTING = HERE / "companions" / "inpainting-unet"
SIZE_PX = 128
# A size // 8 of so small a model would make 64 windows of what 9 cover.
DEFAULTS = {
    "chunking_size": 64,
    "chunking_blur": 64,
    "upscale_diffusion_chunking_size": 64,
    "upscale_diffusion_chunking_blur": 64,
}


@hookimpl
def register_models() -> Iterable[ModelOffer]:
    """Offer the packaged folders; nothing, when the package was made without the weights."""
    return list(_offers())


def _offers() -> Iterator[ModelOffer]:
    if not (MODEL / "model_index.json").is_file():
        return
    fills = (INPAINTING / "config.json").is_file()
    yield ModelOffer(
        name="starter",
        title="Starter: shapes and common things on coloured grounds",
        path=str(MODEL),
        family=Family.SD1,
        size_px=SIZE_PX,
        defaults=DEFAULTS,
        controlnets={
            name: str(folder) for name, folder in CONTROLNETS.items() if (folder / "config.json").is_file()
        },
        inpainter="starter-inpainting" if fills else None,
    )
    if fills:
        yield ModelOffer(
            name="starter-inpainting",
            title="Starter's inpainter: fills masks by the prompt and by what is around them",
            path=str(INPAINTING),
            family=Family.SD1,
            size_px=SIZE_PX,
            defaults=DEFAULTS,
            parts_from="starter",
        )
