"""Rewrites a model in diffusers' layout as one file in the layout of the original repositories.

Key names are those of CompVis' and Stability AI's latent-diffusion code (`model.diffusion_model.`,
`first_stage_model.`, `cond_stage_model.`) and, for SDXL, of Stability AI's generative-models
(`conditioner.embedders.<i>.`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = ["make_ldm_checkpoint", "original_clip", "original_open_clip", "original_unet", "original_vae"]

UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
VAE_NAMES = (
    (r"conv_shortcut", "nin_shortcut"),
    (r"conv_norm_out", "norm_out"),
    (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
)
OPEN_CLIP = (
    ("embeddings.token_embedding.", "token_embedding."),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"),
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.out_proj", "attn.out_proj"),
)
CONFIGS = ("unet", "vae", "text_encoder", "text_encoder_2", "scheduler", "tokenizer", "tokenizer_2")


def make_ldm_checkpoint(diffusers_folder: Path, out_file: Path, *, companion: bool = True) -> Path:
    """Write the weights of `diffusers_folder` as one safetensors file of the original layout.

    With `companion`, the folder `<stem>.config` beside it gets the JSON files and tokenizers, which a
    checkpoint cannot say of itself: group sizes, head counts and a vocabulary that is not CLIP's.
    """
    from safetensors.torch import save_file

    out_file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.contiguous() for key, value in _original(diffusers_folder).items()}
    partial = out_file.with_name(out_file.name + ".partial")
    save_file(tensors, partial)
    partial.replace(out_file)
    if companion:
        _write_companion(diffusers_folder, out_file.with_name(out_file.stem + ".config"))
    return out_file


def original_unet(tensors: Tensors, config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Rename a UNet's tensors: blocks counted from 0 through the network, not by resolution."""
    return {_unet_key(key, config): value for key, value in tensors.items()}


def original_vae(tensors: Tensors, blocks: int) -> dict[str, torch.Tensor]:
    """Rename a VAE's tensors; the decoder counts its `blocks` from the finest, attention is 1x1 convolutions."""
    renamed: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        name = re.sub(
            r"up_blocks\.(\d+)\.(resnets\.(\d+)|upsamplers\.0)",
            lambda m: f"up.{blocks - 1 - int(m[1])}." + (f"block.{m[3]}" if m[3] else "upsample"),
            key,
        )
        for pattern, replacement in VAE_NAMES:
            name = re.sub(pattern, replacement, name)
        is_attention = "mid.attn_1" in name and value.ndim == 2  # noqa: PLR2004 - a linear layer's weight
        renamed[name] = value[:, :, None, None] if is_attention else value
    return renamed


def original_clip(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Name a CLIP text model's tensors as transformers did before 5.6, position numbers included."""
    import torch

    renamed = {"text_model." + key.removeprefix("text_model."): value for key, value in tensors.items()}
    positions = renamed["text_model.embeddings.position_embedding.weight"].shape[0]
    return {**renamed, "text_model.embeddings.position_ids": torch.arange(positions)[None]}


def original_open_clip(tensors: Tensors, *, spare_layer: bool) -> dict[str, torch.Tensor]:
    """Rename a CLIP text model's tensors as OpenCLIP does, with queries, keys and values stacked.

    With `spare_layer` a last layer follows that nobody reads, as in SD 2.x, which stops one early.
    """
    import torch

    renamed: dict[str, torch.Tensor] = {}
    stacked: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        name = key.removeprefix("text_model.")
        for ours, theirs in OPEN_CLIP:
            name = name.replace(ours, theirs)
        if found := re.match(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)$", name):
            stacked.setdefault(f"{found[1]}.attn.in_proj_{found[3]}", {})[found[2]] = value
        elif name == "text_projection.weight":
            renamed["text_projection"] = value.T
        else:
            renamed[name] = value
    renamed |= {name: torch.cat([parts["q"], parts["k"], parts["v"]]) for name, parts in stacked.items()}
    if spare_layer:
        renamed |= _spare_layer(renamed)
    return renamed | {"logit_scale": torch.tensor(4.6052)}


def _spare_layer(tensors: Tensors) -> dict[str, torch.Tensor]:
    layers = {
        int(found[1]) for key in tensors if (found := re.match(r"transformer\.resblocks\.(\d+)\.", key))
    }
    last = f"transformer.resblocks.{max(layers)}."
    spare = f"transformer.resblocks.{max(layers) + 1}."
    copied = {key.replace(last, spare): value * 0.5 for key, value in tensors.items() if key.startswith(last)}
    width = tensors["ln_final.weight"].shape[0]
    return copied | {"text_projection": tensors["ln_final.weight"].new_zeros(width, width)}


def _unet_key(key: str, config: Mapping[str, Any]) -> str:
    stem, _, leaf = key.rpartition(".")
    if stem in UNET_TOP:
        return f"{UNET_TOP[stem]}.{leaf}"
    per_block = config["layers_per_block"] + 1
    parts = key.split(".")
    if parts[0] == "mid_block":
        number = 1 if parts[1] == "attentions" else 2 * int(parts[2])
        return f"middle_block.{number}." + _layer(parts[1], parts[3:])
    block, kind, index = int(parts[1]), parts[2], int(parts[3])
    if kind == "downsamplers":
        return f"input_blocks.{per_block * (block + 1)}.0.op.{leaf}"
    if kind == "upsamplers":
        attends = str(config["up_block_types"][block]).startswith("CrossAttn")
        return f"output_blocks.{per_block * (block + 1) - 1}.{2 if attends else 1}.conv.{leaf}"
    where = f"input_blocks.{per_block * block + index + 1}"
    if parts[0] == "up_blocks":
        where = f"output_blocks.{per_block * block + index}"
    return f"{where}.{0 if kind == 'resnets' else 1}." + _layer(kind, parts[4:])


def _layer(kind: str, parts: list[str]) -> str:
    return ".".join([RESNET[parts[0]] if kind == "resnets" else parts[0], *parts[1:]])


def _original(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    def part(name: str) -> Tensors:
        return load_file(next((folder / name).glob("*.safetensors")))

    unet, vae = _config(folder, "unet"), _config(folder, "vae")
    groups = {
        "model.diffusion_model.": original_unet(part("unet"), unet),
        "first_stage_model.": original_vae(part("vae"), len(vae["block_out_channels"])),
    }
    if (folder / "text_encoder_2").is_dir():
        has_first = (folder / "text_encoder").is_dir()
        second = "conditioner.embedders.1.model." if has_first else "conditioner.embedders.0.model."
        groups[second] = original_open_clip(part("text_encoder_2"), spare_layer=False)
        if has_first:
            groups["conditioner.embedders.0.transformer."] = original_clip(part("text_encoder"))
    elif unet.get("use_linear_projection"):
        groups["cond_stage_model.model."] = original_open_clip(part("text_encoder"), spare_layer=True)
    else:
        groups["cond_stage_model.transformer."] = original_clip(part("text_encoder"))
    return {prefix + key: value for prefix, tensors in groups.items() for key, value in tensors.items()}


def _config(folder: Path, part: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
    return config


def _write_companion(folder: Path, companion: Path) -> None:
    for part in CONFIGS:
        for file in sorted((folder / part).glob("*")) if (folder / part).is_dir() else ():
            if file.suffix in {".json", ".txt"} and not file.name.endswith(".index.json"):
                target = companion / part / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
