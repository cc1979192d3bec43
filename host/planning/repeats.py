"""What goes for a whole request, whatever it draws: how often it is run, and how deep text encoders are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..contracts.models import Family, WeightFile, WeightKind
from ..contracts.request import InvocationRequest

__all__ = ["check_repeats", "deepest_skip"]

Blame = Callable[[str, str], None]
LAST_SEED = 2**53 - 1
# Layers that a family's text encoders have; SD 2.x reads all but the last of 24.
LAYERS = {Family.SD1: 12, Family.SD2: 23, Family.SDXL: 12}


def check_repeats(request: InvocationRequest, drawers: Iterable[WeightFile | None], fault: Blame) -> None:
    """Hold `iterations` against the seed and `clip_skip` against the text encoders of the models that draw."""
    if request.seed is not None and request.seed + request.iterations - 1 > LAST_SEED:
        fault(
            "seed",
            f"{request.seed} leaves no seeds for {request.iterations} iterations, of which each takes the next; "
            f"lower it to {LAST_SEED + 1 - request.iterations}",
        )
    known = {file: deepest_skip(file) for file in drawers if file is not None and request.clip_skip}
    for file, deepest in known.items():
        if deepest is not None and request.clip_skip > deepest:
            called = file.name or file.path
            fault("clip_skip", f"{request.clip_skip} is too much for '{called}'; at most {deepest} serves")


def deepest_skip(weights: WeightFile) -> int | None:
    """Say how many layers may be skipped so that each text encoder is left one; None if that does not show yet.

    SDXL skips its last layer anyway.
    """
    if weights.parts_from is not None:
        return deepest_skip(weights.parts_from)
    counts = list(_stated(weights))
    if not counts and weights.family in LAYERS:
        counts = [LAYERS[weights.family]]
    return min(counts) - (2 if weights.family is Family.SDXL else 1) if counts else None


def _stated(weights: WeightFile) -> Iterator[int]:
    folder = Path(weights.path) if weights.kind is WeightKind.DIFFUSERS else weights.companion
    for config in sorted(folder.glob("text_encoder*/config.json")):
        count = json.loads(config.read_text(encoding="utf-8")).get("num_hidden_layers")
        if isinstance(count, int):
            yield count
