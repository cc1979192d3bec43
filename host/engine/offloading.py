"""Where the networks of a model are: on the device, off it while they are idle, or passing through it in groups.

Group offloading is diffusers' own (https://huggingface.co/docs/diffusers/optimization/memory): the weights stay
in RAM, and a block of the UNet is on the device only while it computes.
"""

from __future__ import annotations

from typing import Any

import torch

from ..contracts.protocols import LoadedModel
from .components import networks

__all__ = ["IDLE", "group_offload", "move"]

IDLE = "cpu"  # where networks are that nobody uses


def move(model: LoadedModel, device: str) -> None:
    """Bring all networks of a model to a device; their numbers stay the same."""
    for network in networks(model):
        network.to(device)


def group_offload(model: LoadedModel, device: str, idle: str = IDLE) -> None:
    """Keep a model's weights on `idle` for good, and have groups of them come to `device` to compute.

    The UNet goes block by block. Text encoders and VAE go layer by layer, since a VAE is called by
    other names than `forward`, at which only hooks of layers hear it.
    """
    from diffusers.hooks import apply_group_offloading

    move(model, idle)
    for network in networks(model):
        grouping: dict[str, Any] = {"offload_type": "leaf_level"}
        if network is model.unet:
            grouping = {"offload_type": "block_level", "num_blocks_per_group": 1}
        apply_group_offloading(network, torch.device(device), torch.device(idle), **grouping)
