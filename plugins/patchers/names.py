"""Which layer of a model a tensor of an adapter file is for, whoever named it.

Known: kohya's names (`lora_unet_...`, `lora_te1_...`) over diffusers' or Stability AI's blocks, and
diffusers' and peft's dotted names, old attention processors included. Names are compared with their
dots written as underscores, as kohya writes them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stretto.host import LoadedModel

__all__ = ["Part", "layers_of", "split_name"]

Part = str  # "unet", "text_encoder" or "text_encoder_2"

# the last part of a tensor's name -> what it is to its layer
FACTORS: Mapping[str, str] = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "alpha": "alpha",
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "lora_magnitude_vector.default.weight": "magnitude",
    **{f"hada_{name}": f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f"lokr_{name}": f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    "diff": "diff",
    "diff_b": "diff_b",
    "w_norm": "diff",
    "b_norm": "diff_b",
}
# diffusers' attention processors of 2023: `attn1.processor.to_out_lora.down.weight`
PROCESSOR = re.compile(r"\.processor\.(to_[a-z]+)_lora\.(down|up)\.weight$")
# longest first, since one begins another
PREFIXES: tuple[tuple[str, Part], ...] = (
    ("lycoris_text_encoder_2_", "text_encoder_2"),
    ("lycoris_text_encoder_", "text_encoder"),
    ("lycoris_unet_", "unet"),
    ("lycoris_", "unet"),
    ("lora_unet_", "unet"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te1_", "text_encoder"),
    ("lora_te_", "text_encoder"),
    ("text_encoder_2_", "text_encoder_2"),
    ("text_encoder_", "text_encoder"),
    ("unet_", "unet"),
)
# diffusers' names of layers -> those of the original repositories
TOP = {
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
BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.?(.*)")
MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.?(.*)")


def split_name(name: str) -> tuple[Part, str, str] | None:
    """Take a tensor's name apart: part, layer with underscores, and what it is to the layer; None if unknown."""
    name = PROCESSOR.sub(_processor, name)
    pieces = name.split(".")
    for length in (3, 2, 1):
        factor = FACTORS.get(".".join(pieces[-length:])) if len(pieces) > length else None
        if factor is not None:
            part, layer = _part(".".join(pieces[:-length]))
            return part, layer, factor
    return None


def _processor(found: re.Match[str]) -> str:
    layer = "to_out.0" if found[1] == "to_out" else found[1]
    return f".{layer}.lora.{found[2]}.weight"


def _part(layer: str) -> tuple[Part, str]:
    flat = layer.removeprefix("base_model.model.").replace(".", "_")
    for prefix, part in PREFIXES:
        if flat.startswith(prefix):
            return part, flat[len(prefix) :].removeprefix("base_model_model_").removeprefix("text_model_")
    return "unet", flat


def layers_of(model: LoadedModel, wanted: Collection[tuple[Part, str]]) -> dict[tuple[Part, str], Any]:
    """Give the modules with weights of the UNet and the text encoders, by part and name with underscores.

    The UNet's go by their names in the original repositories too, where one of `wanted` needs that.
    """
    layers: dict[tuple[Part, str], Any] = {}
    weighted = dict(_weighted(model.unet))
    for name, module in weighted.items():
        layers["unet", name.replace(".", "_")] = module
    if any(place[0] == "unet" and place not in layers for place in wanted):
        for name, module in weighted.items():
            original = _original(name, model.unet.config)
            if original is not None:
                layers["unet", original.replace(".", "_")] = module
    parts = ("text_encoder", "text_encoder_2")
    only_second = len(model.text_encoders) == 1 and model.spec.weights.family == "sdxl-refiner"
    for part, encoder in zip(parts[only_second:], model.text_encoders, strict=False):
        for name, module in _weighted(encoder):
            # transformers 5.6 took the `text_model` out of CLIPTextModel's names
            layers[part, name.removeprefix("text_model.").replace(".", "_")] = module
    return layers


def _weighted(network: Any) -> Iterator[tuple[str, Any]]:
    for name, module in network.named_modules():
        if getattr(module, "weight", None) is not None:
            yield name, module


def _original(name: str, config: Any) -> str | None:
    """Name a layer of diffusers' UNet as Stability AI's code does, which counts blocks through the network."""
    if name in TOP:
        return TOP[name]
    if middle := MIDDLE.match(name):
        number = 1 if middle[1] == "attentions" else 2 * int(middle[2])
        return f"middle_block.{number}.{_inner(middle[1], middle[3])}"
    found = BLOCK.match(name)
    if found is None or not isinstance(config.layers_per_block, int):
        return None
    block, kind, index = int(found[2]), found[3], int(found[4])
    per_block = config.layers_per_block + 1
    if kind == "downsamplers":
        return f"input_blocks.{per_block * (block + 1)}.0.op"
    if kind == "upsamplers":
        attends = "CrossAttn" in config.up_block_types[block]
        return f"output_blocks.{per_block * (block + 1) - 1}.{2 if attends else 1}.conv"
    place = f"input_blocks.{per_block * block + index + 1}"
    if found[1] == "up":
        place = f"output_blocks.{per_block * block + index}"
    return f"{place}.{0 if kind == 'resnets' else 1}.{_inner(kind, found[5])}"


def _inner(kind: str, layer: str) -> str:
    return RESNET.get(layer, layer) if kind == "resnets" else layer
