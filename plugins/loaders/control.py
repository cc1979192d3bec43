"""Loads ControlNets: folders in diffusers' layout, single files of diffusers, and those of the original layout.

Source of the original names: the module tree of lllyasviel/ControlNet (`cldm.cldm.ControlNet`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import Family, LoadedModel, ModelSpec, Precision, WeightFile, WeightKind, WeightsError

from .layout import below, unet_names
from .networks import Target, make_controlnet
from .reading import blaming, read_json, read_tensors, weight_files
from .shapes import controlnet_config, with_time_ids

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = ["ControlNetLoader", "controlnet_names"]

CONFIGS = Path(__file__).parent.parent / "configs"
EMBEDDING = "controlnet_cond_embedding."
# The text that a family's cross-attention reads, as many channels wide; SDXL pools 1280 more.
FAMILIES = {768: Family.SD1, 1024: Family.SD2, 2048: Family.SDXL}
POOLED = 1280
LAST_HINT = 14  # of the original's eight convolutions, every second entry


class ControlNetLoader:
    """Gives a model whose `unet` is the ControlNet, and which has nothing else."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is a ControlNet."""
        return file.kind is WeightKind.CONTROLNET

    def load(self, spec: ModelSpec, precision: Precision, device: str) -> LoadedModel:
        """Load it; raises WeightsError naming the file that is missing or broken."""
        path = Path(spec.weights.path)
        target = Target(precision=precision, device=device, path=path)
        if path.is_dir():
            config = read_json(path / "config.json")
            tensors: dict[str, torch.Tensor] = {}
            for part in weight_files(path):
                tensors |= read_tensors(part)
        else:
            tensors = controlnet_names(read_tensors(path))
            config = _config(tensors, spec.weights)
        return LoadedModel(
            spec=spec,
            unet=make_controlnet(config, tensors, target),
            vae=None,
            text_encoders=(),
            tokenizers=(),
            scheduler_config={},
            options={},
        )


def controlnet_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename a ControlNet's tensors to diffusers' names, which stay as they are."""
    if any(key.startswith(EMBEDDING) for key in tensors):
        return dict(tensors)
    return {_name(key): value for key, value in unet_names(below(tensors, "control_model.", "")).items()}


def _name(key: str) -> str:
    if found := re.fullmatch(r"input_hint_block\.(\d+)\.(\w+)", key):
        number = int(found[1])
        part = (
            "conv_in" if number == 0 else "conv_out" if number == LAST_HINT else f"blocks.{number // 2 - 1}"
        )
        return f"{EMBEDDING}{part}.{found[2]}"
    key = re.sub(r"^zero_convs\.(\d+)\.0\.", r"controlnet_down_blocks.\1.", key)
    return re.sub(r"^middle_block_out\.0\.", "controlnet_mid_block.", key)


def _config(tensors: Tensors, file: WeightFile) -> dict[str, Any]:
    """Size a ControlNet by its tensors; `<stem>.config/config.json` beside it says what they cannot."""
    path = Path(file.path)
    stated = file.companion / "config.json"
    own = read_json(stated) if stated.is_file() else {}
    with blaming(path):
        width = next((t.shape[1] for key, t in tensors.items() if key.endswith("attn2.to_k.weight")), None)
        if width is None or f"{EMBEDDING}conv_in.weight" not in tensors:
            raise WeightsError(f"{path} is no ControlNet of Stable Diffusion; name another `controlnet`")
        family = file.family or FAMILIES.get(width, Family.SD1)
        config = controlnet_config(tensors, read_json(CONFIGS / family.value / "unet" / "config.json"))
        if "projection_class_embeddings_input_dim" in config:
            config = with_time_ids(config, POOLED, is_refiner=False)
    return {**config, **own}
