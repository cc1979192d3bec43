"""How long a LoRA takes to go into a loaded model and out again, against loading the model once more."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import ModelSpec, Patch, Precision, Role
from stretto.host.engine.components import settle
from stretto.host.testing.adapters import LoraForm, make_lora
from stretto.plugins.loaders import register_loaders
from stretto.plugins.patchers import register_patchers

from .report import Row

__all__ = ["lora_switch"]

RANK = 8


def lora_switch(model: Path, label: str, out: Path, rounds: int = 5) -> Row:
    """Time a LoRA on all attention of the UNet: reading, merging and putting back, no drawing."""
    file = probe(make_lora(model, out / f"{model.name}-lora.safetensors", LoraForm(rank=RANK)))
    patch = Patch(kind=file.kind, file=file, weight=0.7)
    loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
    patcher = next(one for one in (offer.build() for offer in register_patchers()) if one.accepts(file))
    spec = ModelSpec(role=Role.BASE, weights=probe(model))
    loads, switches = [], []
    loaded: Any = None
    for _ in range(rounds + 1):
        loaded = None  # before the next one comes
        began = time.perf_counter()
        loaded = settle(loader.load(spec, Precision.FLOAT32, "cpu"))
        loads.append(time.perf_counter() - began)
        began = time.perf_counter()
        with patcher.applied(loaded, patch, lambda _note: None):
            pass
        switches.append(time.perf_counter() - began)
    # the first round imports libraries and fills the file cache
    load_s, switch_s = median(loads[1:]), median(switches[1:])
    return Row(
        name=f"LoRA switch, {label}",
        value=switch_s / load_s,
        bound=0.10,
        unit="x",
        detail=f"{switch_s * 1000:.0f} ms against {load_s * 1000:.0f} ms of a reload, rank {RANK}, median of {rounds}",
    )
