"""Renames tensors of the original repositories' single files to diffusers' and transformers' names.

Sources: the module trees of CompVis/latent-diffusion and Stability-AI/generative-models on one side
and of diffusers' UNet2DConditionModel and AutoencoderKL, transformers' CLIPTextModel on the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = ["below", "clip_names", "open_clip_names", "unet_names", "vae_names"]

UNET_TOP = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
VAE = (
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    # diffusers before 0.18 named its attention so
    (r"\.attentions\.0\.query\.", ".attentions.0.to_q."),
    (r"\.attentions\.0\.key\.", ".attentions.0.to_k."),
    (r"\.attentions\.0\.value\.", ".attentions.0.to_v."),
    (r"\.attentions\.0\.proj_attn\.", ".attentions.0.to_out.0."),
)
# what training leaves in an autoencoder's file
VAE_TRAINING = ("loss.", "model_ema.", "discriminator.")
OPEN_CLIP = (
    ("transformer.resblocks.", "encoder.layers."),
    ("token_embedding.", "embeddings.token_embedding."),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_final.", "final_layer_norm."),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
    (".attn.out_proj.", ".self_attn.out_proj."),
)
CONVOLUTION = 4


def below(tensors: Tensors, *prefixes: str) -> dict[str, torch.Tensor]:
    """Give the tensors under the first of `prefixes` that has any, with the prefix taken off."""
    for prefix in prefixes:
        found = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        if found:
            return found
    return {}


def unet_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename a UNet's tensors (without their prefix); a name that is not the UNet's stays as it is."""
    downs = [int(m[1]) for key in tensors if (m := re.match(r"input_blocks\.(\d+)\.0\.op\.weight", key))]
    numbers = [int(m[1]) for key in tensors if (m := re.match(r"input_blocks\.(\d+)\.", key))]
    # a resolution is its layers and, but for the last, one convolution that halves it
    per_block = min(downs, default=max(numbers, default=0) + 1)
    return {_unet_name(key, per_block): value for key, value in tensors.items()}


def vae_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename a VAE's tensors, of the original layout or of older diffusers; attention becomes linear."""
    ups = [int(m[1]) for key in tensors if (m := re.match(r"decoder\.up\.(\d+)\.", key))]
    renamed: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        if key.startswith(VAE_TRAINING):
            continue
        name = re.sub(r"\.up\.(\d+)\.block\.", lambda m: f".up_blocks.{max(ups) - int(m[1])}.resnets.", key)
        name = re.sub(
            r"\.up\.(\d+)\.upsample\.", lambda m: f".up_blocks.{max(ups) - int(m[1])}.upsamplers.0.", name
        )
        for pattern, replacement in VAE:
            name = re.sub(pattern, replacement, name)
        is_attention = ".attentions.0.to_" in name and value.ndim == CONVOLUTION
        renamed[name] = value[:, :, 0, 0] if is_attention else value
    return renamed


def clip_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Take off the `text_model.` that transformers wrote before 5.6, and the position numbers."""
    names = {key.removeprefix("text_model."): value for key, value in tensors.items()}
    return {key: value for key, value in names.items() if not key.endswith("position_ids")}


def open_clip_names(tensors: Tensors, *, layers: int | None = None) -> dict[str, torch.Tensor]:
    """Rename OpenCLIP's text tower, queries, keys and values taken apart; only the first `layers` of it.

    With `layers` the tower is read before its end, so its projection is not part of the model either.
    """
    renamed: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        found = re.match(r"transformer\.resblocks\.(\d+)\.", key)
        if key in {"logit_scale", "attn_mask"} or (found and layers is not None and int(found[1]) >= layers):
            continue
        if key == "text_projection":
            if layers is None:
                renamed["text_projection.weight"] = value.T
            continue
        name = key
        for theirs, ours in OPEN_CLIP:
            name = name.replace(theirs, ours)
        stacked = re.fullmatch(r"(.*)\.attn\.in_proj_(weight|bias)", name)
        if stacked:
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{stacked[1]}.self_attn.{letter}_proj.{stacked[2]}"] = part
        else:
            renamed[name] = value
    return renamed


def _unet_name(key: str, per_block: int) -> str:
    stem, _, leaf = key.rpartition(".")
    if stem in UNET_TOP:
        return f"{UNET_TOP[stem]}.{leaf}"
    found = re.match(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.(.*)", key)
    if found is None:
        return key
    part, number, rest = found[1], int(found[2]), found[3]
    if part == "middle_block":
        return f"mid_block.{MIDDLE.get(found[2], found[2])}." + _layer(rest)
    child, _, rest = rest.partition(".")
    if part == "input_blocks":
        block, layer = divmod(number - 1, per_block)
        if rest.startswith("op."):
            return f"down_blocks.{block}.downsamplers.0.conv.{leaf}"
        where = f"down_blocks.{block}"
    else:
        block, layer = divmod(number, per_block)
        if rest.startswith("conv."):
            return f"up_blocks.{block}.upsamplers.0.conv.{leaf}"
        where = f"up_blocks.{block}"
    return f"{where}.{'resnets' if child == '0' else 'attentions'}.{layer}." + _layer(rest)


def _layer(rest: str) -> str:
    stem, _, leaf = rest.rpartition(".")
    return f"{RESNET[stem]}.{leaf}" if stem in RESNET else rest
