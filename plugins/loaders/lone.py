"""Loads a VAE that comes by itself, in place of the one that a model brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import WeightFile, WeightsError

from .layout import below, vae_names
from .networks import Target, make_vae
from .reading import blaming, read_json, read_tensors, weight_files
from .shapes import vae_config

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = ["load_vae", "make_vae_from"]


def load_vae(file: WeightFile, model: Mapping[str, Any], target: Target) -> Any:
    """Load a file or a folder; `model` is the VAE config of the model it serves.

    A file has the model's scaling unless the folder `<stem>.config` beside it says otherwise.
    """
    path = Path(file.path)
    own = Target(precision=target.precision, device=target.device, path=path)
    if path.is_dir():
        config = read_json(path / "config.json")
        tensors: dict[str, torch.Tensor] = {}
        for part in weight_files(path):
            tensors |= read_tensors(part)
        return make_vae(config, vae_names(tensors), own)
    stated = _companion(file.companion)
    tensors = read_tensors(path)
    return make_vae_from(below(tensors, "first_stage_model.", "vae.", ""), {**model, **stated}, stated, own)


def make_vae_from(
    tensors: Tensors, family: Mapping[str, Any], stated: Mapping[str, Any], target: Target
) -> Any:
    """Make a VAE from tensors of the original layout or of diffusers', sized by their shapes."""
    renamed = vae_names(tensors)
    if "decoder.conv_in.weight" not in renamed or "encoder.conv_in.weight" not in renamed:
        raise WeightsError(f"{target.path} is no VAE with an encoder and a decoder; name another `vae`")
    with blaming(target.path):
        config = {**vae_config(renamed, family), **stated}
    return make_vae(config, renamed, target)


def _companion(folder: Path) -> dict[str, Any]:
    found = next(
        (file for file in (folder / "config.json", folder / "vae" / "config.json") if file.is_file()), None
    )
    return read_json(found) if found else {}
