"""What a LoRA costs on a loaded model: to go in and out again, against another load, and while it draws."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
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

__all__ = ["lora_drawing", "lora_switch"]

RANK = 8
FORMS = {
    "attention of the UNet": LoraForm(rank=RANK),
    "text encoder, UNet, convolutions": LoraForm(rank=RANK, text=True, convolutions=True),
}
STEPS, CELLS, TOKENS = 12, 32, 77

Switch = Callable[[Any], AbstractContextManager[Any]]


def lora_switch(model: Path, label: str, out: Path, rounds: int = 5) -> list[Row]:
    """Time one LoRA on the UNet's attention and one on all that a LoRA can change: read, in and out, no drawing."""
    rows = []
    for what, form in FORMS.items():
        switch = _switch(model, out, form)
        loads, switches = [], []
        loaded: Any = None
        for _ in range(rounds + 1):
            loaded = None  # before the next one comes
            began = time.perf_counter()
            loaded = _loaded(model)
            loads.append(time.perf_counter() - began)
            began = time.perf_counter()
            with switch(loaded):
                pass
            switches.append(time.perf_counter() - began)
        # the first round imports libraries and fills the file cache
        load_s, switch_s = median(loads[1:]), median(switches[1:])
        detail = f"{switch_s * 1000:.0f} ms against {load_s * 1000:.0f} ms of a reload, rank {RANK}, median of {rounds}"
        rows.append(
            Row(
                name=f"LoRA switch, {label}: {what}",
                value=switch_s / load_s,
                bound=0.10,
                unit="x",
                detail=detail,
            )
        )
    return rows


def lora_drawing(model: Path, label: str, out: Path, rounds: int = 3) -> Row:
    """Time the UNet's part of a short drawing with everything changed that a LoRA can change, against none."""
    import torch

    loaded = _loaded(model)
    switch = _switch(model, out, FORMS["text encoder, UNet, convolutions"])
    latents = torch.randn(2, 4, CELLS, CELLS)
    text = torch.randn(2, TOKENS, loaded.unet.config.cross_attention_dim)

    def drawn() -> float:
        began = time.process_time()
        with torch.inference_mode():
            for step in range(STEPS):
                loaded.unet(latents, 1000 - step, text, return_dict=False)
        return time.process_time() - began

    drawn()
    plain, changed = [], []
    for _ in range(rounds):
        plain.append(drawn())
        with switch(loaded):
            changed.append(drawn())
    detail = f"{median(changed):.2f} against {median(plain):.2f} CPU-s, {STEPS} steps of {CELLS * 8} px, median of {rounds}"
    return Row(
        name=f"drawing with a LoRA, {label}",
        value=median(changed) / median(plain),
        bound=1.10,
        unit="x",
        detail=detail,
    )


def _loaded(model: Path) -> Any:
    loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
    spec = ModelSpec(role=Role.BASE, weights=probe(model))
    return settle(loader.load(spec, Precision.FLOAT32, "cpu"))


def _switch(model: Path, out: Path, form: LoraForm) -> Switch:
    """Write a LoRA, and give what changes a loaded model by it."""
    kind = "full" if form.text else "attention"
    file = probe(make_lora(model, out / f"{model.name}-{kind}.safetensors", form))
    patch = Patch(kind=file.kind, file=file, weight=0.7)
    patcher = next(one for one in (offer.build() for offer in register_patchers()) if one.accepts(file))

    def switch(loaded: Any) -> AbstractContextManager[Any]:
        return patcher.applied(loaded, patch, lambda _note: None)

    return switch
