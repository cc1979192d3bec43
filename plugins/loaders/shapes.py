"""Derives networks' settings from the shapes of their tensors (diffusers' names), over a family's own.

What shapes cannot tell stays as the family has it: groups of a normalisation, activations, and the
width of a head, 64 everywhere but in SD 1.x's UNet, which has eight heads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = ["controlnet_config", "text_config", "unet_config", "vae_config"]

HEAD = 64
MATRIX = 2
# time_ids: original size, crop, target size; in the refiner original size, crop, aesthetic score
TIME_IDS, REFINER_TIME_IDS = 6, 5


def unet_config(tensors: Tensors, family: Mapping[str, Any]) -> dict[str, Any]:
    """Give a UNet's settings; raises KeyError or ValueError when a part of it is missing."""
    blocks = _count(tensors, r"down_blocks\.(\d+)\.")
    depths = [_depth(tensors, f"down_blocks.{i}.attentions.0") for i in range(blocks)]
    up_depths = [_depth(tensors, f"up_blocks.{i}.attentions.0") for i in range(blocks)]
    widths = [_rows(tensors, f"down_blocks.{i}.resnets.0.conv2.weight") for i in range(blocks)]
    config = {
        **family,
        "in_channels": tensors["conv_in.weight"].shape[1],
        "out_channels": _rows(tensors, "conv_out.weight"),
        "block_out_channels": widths,
        "layers_per_block": _count(tensors, r"down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in up_depths],
        "cross_attention_dim": next(
            t.shape[1] for key, t in tensors.items() if key.endswith("attn2.to_k.weight")
        ),
        "use_linear_projection": next(
            t.ndim == MATRIX for key, t in tensors.items() if key.endswith("proj_in.weight")
        ),
        # the last also counts for the middle, which has attention even where the last block has none
        "transformer_layers_per_block": [
            *(max(depth, 1) for depth in depths[:-1]),
            depths[-1] or _depth(tensors, "mid_block.attentions.0"),
        ],
    }
    if isinstance(family["attention_head_dim"], list):
        config["attention_head_dim"] = [max(1, width // HEAD) for width in widths]
    if "add_embedding.linear_1.weight" in tensors:
        config["projection_class_embeddings_input_dim"] = tensors["add_embedding.linear_1.weight"].shape[1]
    return config


def controlnet_config(tensors: Tensors, family: Mapping[str, Any]) -> dict[str, Any]:
    """Give a ControlNet's settings over those of the family's UNet; raises KeyError or ValueError."""
    blocks = _count(tensors, r"down_blocks\.(\d+)\.")
    depths = [_depth(tensors, f"down_blocks.{i}.attentions.0") for i in range(blocks)]
    widths = [_rows(tensors, f"down_blocks.{i}.resnets.0.conv2.weight") for i in range(blocks)]
    picture = "controlnet_cond_embedding."
    steps = _count(tensors, picture.replace(".", r"\.") + r"blocks\.(\d+)\.")
    config = {
        name: value
        for name, value in family.items()
        if name
        in {"attention_head_dim", "norm_num_groups", "act_fn", "addition_embed_type", "flip_sin_to_cos"}
    } | {
        "in_channels": tensors["conv_in.weight"].shape[1],
        "conditioning_channels": tensors[picture + "conv_in.weight"].shape[1],
        "conditioning_embedding_out_channels": [
            _rows(tensors, picture + "conv_in.weight"),
            *(_rows(tensors, f"{picture}blocks.{i}.weight") for i in range(1, steps, 2)),
        ],
        "block_out_channels": widths,
        "layers_per_block": _count(tensors, r"down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "cross_attention_dim": next(
            t.shape[1] for key, t in tensors.items() if key.endswith("attn2.to_k.weight")
        ),
        "use_linear_projection": next(
            t.ndim == MATRIX for key, t in tensors.items() if key.endswith("proj_in.weight")
        ),
        "transformer_layers_per_block": [
            *(max(depth, 1) for depth in depths[:-1]),
            depths[-1] or _depth(tensors, "mid_block.attentions.0"),
        ],
    }
    if isinstance(family["attention_head_dim"], list):
        config["attention_head_dim"] = [max(1, width // HEAD) for width in widths]
    if "add_embedding.linear_1.weight" in tensors:
        config["projection_class_embeddings_input_dim"] = tensors["add_embedding.linear_1.weight"].shape[1]
    return config


def with_time_ids(config: Mapping[str, Any], pooled: int, *, is_refiner: bool) -> dict[str, Any]:
    """Add how many channels each of SDXL's added numbers takes beside `pooled` channels of text."""
    taken = config["projection_class_embeddings_input_dim"] - pooled
    return {**config, "addition_time_embed_dim": taken // (REFINER_TIME_IDS if is_refiner else TIME_IDS)}


def vae_config(tensors: Tensors, family: Mapping[str, Any]) -> dict[str, Any]:
    """Give a VAE's settings; raises KeyError when a part of it is missing."""
    blocks = _count(tensors, r"encoder\.down_blocks\.(\d+)\.")
    return {
        **family,
        "in_channels": tensors["encoder.conv_in.weight"].shape[1],
        "out_channels": _rows(tensors, "decoder.conv_out.weight"),
        "block_out_channels": [
            _rows(tensors, f"encoder.down_blocks.{i}.resnets.0.conv2.weight") for i in range(blocks)
        ],
        "down_block_types": ["DownEncoderBlock2D"] * blocks,
        "up_block_types": ["UpDecoderBlock2D"] * blocks,
        "layers_per_block": _count(tensors, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        "latent_channels": tensors["decoder.conv_in.weight"].shape[1],
    }


def text_config(tensors: Tensors, family: Mapping[str, Any]) -> dict[str, Any]:
    """Give a CLIP text model's settings; raises KeyError when a part of it is missing."""
    words, width = tensors["embeddings.token_embedding.weight"].shape
    config = {
        **family,
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": _rows(tensors, "encoder.layers.0.mlp.fc1.weight"),
        "num_hidden_layers": _count(tensors, r"encoder\.layers\.(\d+)\."),
        "num_attention_heads": max(1, width // HEAD),
        "max_position_embeddings": _rows(tensors, "embeddings.position_embedding.weight"),
    }
    if "text_projection.weight" in tensors:
        config["projection_dim"] = _rows(tensors, "text_projection.weight")
    return config


def _count(tensors: Tensors, pattern: str) -> int:
    return 1 + max((int(m[1]) for key in tensors if (m := re.match(pattern, key))), default=-1)


def _depth(tensors: Tensors, attention: str) -> int:
    return _count(tensors, re.escape(attention) + r"\.transformer_blocks\.(\d+)\.")


def _rows(tensors: Tensors, name: str) -> int:
    return int(tensors[name].shape[0])
