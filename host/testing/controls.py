"""Tiny random ControlNets, in diffusers' layout and in the original one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .layout import original_unet

__all__ = ["make_original_controlnet", "make_tiny_controlnet"]


def make_tiny_controlnet(folder: Path, model: Path, *, seed: int = 10) -> Path:
    """Write a ControlNet for the UNet of the diffusers folder `model`, unless it is there.

    Its zero convolutions are not zero, and its picture is seen.
    """
    if (folder / "config.json").is_file():
        return folder
    import torch
    from diffusers import ControlNetModel, UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(model / "unet", local_files_only=True)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 24, 32))
        for part in (network.controlnet_down_blocks, network.controlnet_mid_block):
            for weight in part.parameters():
                weight.normal_(std=0.2)
        for weight in network.controlnet_cond_embedding.parameters():
            # so that the picture comes through eight convolutions as large as it was (He et al. 2015)
            weight.normal_(std=(2.0 / max(1, weight[0].numel())) ** 0.5)
    network.save_pretrained(folder)
    return folder


def make_original_controlnet(folder: Path, out_file: Path) -> Path:
    """Write the ControlNet in `folder` as one file of lllyasviel's layout, its settings beside it."""
    from safetensors.torch import load_file, save_file

    blocks = len(re.findall(r"DownBlock2D", (folder / "config.json").read_text(encoding="utf-8")))
    config = {"layers_per_block": 2, "up_block_types": ["UpBlock2D"] * blocks}
    tensors = load_file(folder / "diffusion_pytorch_model.safetensors")
    last = max(int(found[1]) for key in tensors if (found := re.match(r".*embedding\.blocks\.(\d+)", key)))
    own = {key: value for key, value in tensors.items() if key.startswith("controlnet_")}
    rest = {key: value for key, value in tensors.items() if key not in own}
    renamed = {_original(key, last): value for key, value in own.items()} | original_unet(rest, config)
    out_file.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"control_model.{key}": value.contiguous() for key, value in renamed.items()}, out_file)
    beside = out_file.with_suffix(".config")
    beside.mkdir(exist_ok=True)
    shutil.copyfile(folder / "config.json", beside / "config.json")
    return out_file


def _original(key: str, last: int) -> str:
    leaf = key.rpartition(".")[2]
    if found := re.match(r"controlnet_cond_embedding\.blocks\.(\d+)", key):
        return f"input_hint_block.{2 * int(found[1]) + 2}.{leaf}"
    if key.startswith("controlnet_cond_embedding."):
        return f"input_hint_block.{0 if '.conv_in.' in key else 2 * last + 4}.{leaf}"
    if found := re.match(r"controlnet_down_blocks\.(\d+)", key):
        return f"zero_convs.{found[1]}.0.{leaf}"
    return f"middle_block_out.0.{leaf}"
