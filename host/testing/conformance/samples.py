"""A tiny file of each kind of weights, made when a loader or a patcher says that it takes the kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ...catalog.probe import probe
from ...contracts.models import Family, WeightFile, WeightKind
from .supplies import Supplies

__all__ = ["LOADED", "PATCHES", "sample_of"]


def sample_of(kind: WeightKind, supplies: Supplies, family: Family = Family.SD1) -> WeightFile:
    """Give a file of that kind for the tiny model of `family`."""
    maker = {**LOADED, **PATCHES}[kind]
    folder = supplies.root / "samples" / str(family)
    return maker(folder, supplies.tiny(family))


def _folder(_folder: Path, model: Path) -> WeightFile:
    return probe(model)


def _checkpoint(folder: Path, model: Path) -> WeightFile:
    from ..layout import make_ldm_checkpoint

    path = folder / "checkpoint.safetensors"
    return probe(path if path.exists() else make_ldm_checkpoint(model, path))


def _unet(folder: Path, model: Path) -> WeightFile:
    if not (folder / "unet").is_dir():
        shutil.copytree(model / "unet", folder / "unet")
    return replace(probe(folder / "unet"), parts_from=probe(model))


def _controlnet(folder: Path, model: Path) -> WeightFile:
    from ..controls import make_tiny_controlnet

    return probe(make_tiny_controlnet(folder / "controlnet", model))


def _safety(folder: Path, _model: Path) -> WeightFile:
    from ..safety import make_tiny_safety_checker

    path = make_tiny_safety_checker(folder / "safety-checker", threshold=1.0)
    return WeightFile(path=str(path / "model.safetensors"), kind=WeightKind.SAFETY, name="safety-checker")


def _lora(folder: Path, model: Path) -> WeightFile:
    from ..adapters import LoraForm, make_lora

    return probe(make_lora(model, folder / "lora.safetensors", LoraForm(text=True, convolutions=True)))


def _lycoris(folder: Path, model: Path) -> WeightFile:
    from ..adapters import make_loha

    return probe(make_loha(model, folder / "lycoris.safetensors"))


def _inversion(folder: Path, model: Path) -> WeightFile:
    import json

    from ..adapters import make_inversion

    parts = [part for part in ("text_encoder", "text_encoder_2") if (model / part).is_dir()]
    widths = tuple(json.loads((model / part / "config.json").read_text())["hidden_size"] for part in parts)
    path = make_inversion(folder / "inversion" / "zog.safetensors", widths, vectors=2)
    return replace(probe(path), kind=WeightKind.INVERSION)


Maker = Callable[[Path, Path], WeightFile]
LOADED: Mapping[WeightKind, Maker] = {
    WeightKind.DIFFUSERS: _folder,
    WeightKind.CHECKPOINT: _checkpoint,
    WeightKind.UNET: _unet,
    WeightKind.CONTROLNET: _controlnet,
    WeightKind.SAFETY: _safety,
}
PATCHES: Mapping[WeightKind, Maker] = {
    WeightKind.LORA: _lora,
    WeightKind.LYCORIS: _lycoris,
    WeightKind.INVERSION: _inversion,
}
