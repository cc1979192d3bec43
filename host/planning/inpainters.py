"""Which model fills masks, and over windows of what size."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..contracts.models import Difference, Family, WeightFile, WeightKind
from ..contracts.plan import Node
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest, NodeRequest
from ..contracts.specs import ModelOffer
from ..geometry import round_up
from .defaults import offer_of, size_px
from .draft import REFUSED
from .fillers import SEES_MASKS
from .masks import Voice

__all__ = ["check_adapted", "find_beside", "inpainter", "told"]

DRAWS = 4  # channels of a UNet that is told nothing of masks
# The files (or folders) that Stable Diffusion 1.5 and its inpainting model are known by, without suffix.
BASES = ("v1-5-pruned", "v1-5-pruned-emaonly", "stable-diffusion-v1-5")
INPAINTERS = ("sd-v1-5-inpainting", "stable-diffusion-v1-5-inpainting", "stable-diffusion-inpainting")


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
    except REFUSED as error:
        voice.fault("inpainter", str(error))
        return None, asked
    called = f"'{found.name or found.path}'"
    if found.family is Family.SDXL_REFINER or found.in_channels not in (DRAWS, SEES_MASKS):
        voice.fault("inpainter", f"{called} fills no masks; name a base model or an inpainting model")
    if asked is None:
        asked = size if found.family == base.family else round_up(size_px(found, offer_of(found, host)))
    return found, asked


def find_beside(
    request: InvocationRequest, base: WeightFile, offer: ModelOffer | None, host: HostView, *, voice: Voice
) -> tuple[WeightFile | None, Difference | None]:
    """Find an inpainter for `base` among the files that are here, where nobody named one.

    That is what the offer of a plugin's model names; for a file, `<its name>-inpainting`; else, for an
    offspring of Stable Diffusion 1.5, the inpainting model of 1.5 with what the offspring has learnt
    beyond 1.5 added (both files must be here).
    """
    if base.in_channels == SEES_MASKS:  # an inpainting model was named as the model
        return base, None
    if offer is not None:  # a plugin's model, related to no file
        return _offered(request, offer, host, voice), None
    own = _first((f"{_stem(base)}-inpainting",), SEES_MASKS, base, host)
    if own is not None:
        voice.note(f"the mask is filled by '{own.name}', which is named after the model")
        return own, None
    origin = _first(BASES, DRAWS, base, host)
    filler = _first(INPAINTERS, SEES_MASKS, base, host)
    if base.family is not Family.SD1 or origin is None or filler is None:
        return None, None
    if origin.fingerprint == base.fingerprint:
        voice.note(f"the mask is filled by '{filler.name}', the inpainting model of '{base.name}'")
        return filler, None
    voice.note(
        f"the mask is filled by '{filler.name}' with what '{base.name}' has learnt beyond '{origin.name}' "
        "added to it; name an `inpainter` for another one"
    )
    return filler, Difference(model=base, base=origin)


def _offered(
    request: InvocationRequest, offer: ModelOffer, host: HostView, voice: Voice
) -> WeightFile | None:
    """Find the inpainter that an offer names; not where something was asked for that only the base's UNet fits."""
    if offer.inpainter is None:
        return None
    parts: tuple[InvocationRequest | NodeRequest, ...] = (request, *request.nodes)
    if request.lora or request.lycoris or any(part.controlnet or part.controlnets for part in parts):
        voice.note(f"'{offer.inpainter}' is not used: LoRA and ControlNets are for the model itself")
        return None
    own = host.resolve_model(offer.inpainter, kinds=("diffusers", "checkpoint"))
    voice.note(f"the mask is filled by '{own.name}', which is offered for '{offer.name}'")
    return own


def _first(names: tuple[str, ...], channels: int, like: WeightFile, host: HostView) -> WeightFile | None:
    """Find the first weights of `channels` in the family of `like` that are here."""
    for name in names:
        try:
            found = host.resolve_model(name, kinds=("checkpoint", "diffusers"))
        except REFUSED:  # not here, or not to be used
            continue
        if found.family == like.family and found.in_channels == channels:
            return found
    return None


def check_adapted(
    request: InvocationRequest,
    base: WeightFile,
    filler: WeightFile | None,
    nodes: Iterable[Node],
    voice: Voice,
) -> None:
    """Tell of LoRA and LyCORIS where masks are filled by a model of another build: both would have to fit them."""
    adapted = any(adapter.weight for adapter in (*request.lora, *request.lycoris))
    if (
        not adapted
        or filler is None
        or filler.family != base.family
        or not any(node.paints for node in nodes)
    ):
        return
    widths = _widths(base), _widths(filler)
    if None not in widths and widths[0] != widths[1]:
        voice.fault(
            "inpainter",
            f"the layers of '{filler.name or filler.path}' are of other widths than those of "
            f"'{base.name or base.path}', so no LoRA fits both; leave it out, and the model itself fills the mask, "
            "or leave lora and lycoris out",
        )


def _widths(file: WeightFile) -> list[int] | None:
    """Give the widths of a UNet in diffusers' folders; None for a single file, whose header alone is known."""
    config = Path(file.path, "config.json" if file.kind is WeightKind.UNET else "unet/config.json")
    if not config.is_file():
        return None
    widths = json.loads(config.read_text(encoding="utf-8")).get("block_out_channels")
    return widths if isinstance(widths, list) else None


def _stem(file: WeightFile) -> str:
    return Path(file.path).name if file.kind is WeightKind.DIFFUSERS else Path(file.path).stem


def told(node: Node, found: WeightFile | None, voice: Voice) -> None:
    """Say who fills a mask where that is not plain from the request."""
    if node.paints and found is None:
        voice.note(
            "no inpainter was named, so the base model fills the mask; what stays is laid over it after "
            "every step"
        )
    elif not node.paints and found is not None:
        voice.note("the inpainter is not used: there is nothing to fill")
