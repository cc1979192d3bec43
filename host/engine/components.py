"""The networks of one loaded model, made ready to run, and their shapes as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..contracts.protocols import LoadedModel
from ..errors import UnsupportedError, WeightsError
from .convolution import read_in_place

__all__ = ["CELL_PX", "Shapes", "check_draws", "home_of", "is_sdxl", "settle", "shapes", "size_bytes"]

CELL_PX = 8  # pixels along one side of a latent cell, in every family that we draw with


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the engine must know about a model's networks: channels of its latents, types, devices."""

    latent_channels: int
    unet_channels: int
    unet_dtype: torch.dtype
    vae_dtype: torch.dtype
    device: torch.device


def shapes(model: LoadedModel) -> Shapes:
    """Read the shapes off the networks; raises WeightsError for a VAE that is not of factor 8."""
    factor = 2 ** (len(model.vae.config.block_out_channels) - 1)
    if factor != CELL_PX:
        raise WeightsError(
            f"The VAE of '{model.spec.weights.path}' shrinks pictures {factor} times; "
            f"this engine draws with VAEs that shrink {CELL_PX} times."
        )
    weight = next(model.unet.parameters())
    return Shapes(
        latent_channels=model.vae.config.latent_channels,
        unet_channels=model.unet.config.in_channels,
        unet_dtype=weight.dtype,
        vae_dtype=next(model.vae.parameters()).dtype,
        device=home_of(model.unet),
    )


def home_of(network: Any) -> torch.device:
    """Say where a network computes, even if its weights are elsewhere because it is offloaded in groups.

    diffusers' own `device` looks at every module of a network, which takes as long as a small one's layers.
    """
    at: torch.device = next(network.parameters()).device
    if at.type == "cpu" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        at = network.device
    return at


def check_draws(model: LoadedModel) -> Shapes:
    """Give the shapes of a model that draws from noise alone; raises UnsupportedError for other kinds."""
    found = shapes(model)
    if found.unet_channels != found.latent_channels:
        raise UnsupportedError(
            f"The model '{model.spec.weights.path}' takes {found.unet_channels} channels, so it fills masks; "
            f"name a model with {found.latent_channels} channels to draw without one."
        )
    return found


def settle(model: LoadedModel) -> LoadedModel:
    """Make freshly loaded networks ready to run: no gradients, memory laid out for convolutions.

    SDXL's own VAE overflows in half precision (`force_upcast`), so it is kept in float32.
    """
    from .lean import make_lean  # which imports diffusers, for seconds: a worker is ready before

    for network in networks(model):
        network.eval().requires_grad_(False)
    for network in (model.unet, *((model.vae,) if model.vae is not None else ())):
        # 3 to 30 % faster convolutions, see docs of torch's channels_last; values stay the same
        network.to(memory_format=torch.channels_last)
        read_in_place(network)
        make_lean(network)
    # the key is true by default in diffusers, which looks at it for SDXL alone
    if (
        model.vae is not None
        and is_sdxl(model)
        and model.vae.dtype == torch.float16
        and model.vae.config.get("force_upcast", False)
    ):
        model.vae.float()
    return model


def is_sdxl(model: LoadedModel) -> bool:
    """Say whether the UNet wants pooled embeddings and sizes beside the tokens, as SDXL's do."""
    return bool(model.unet.config.addition_embed_type == "text_time")


def size_bytes(model: LoadedModel) -> int:
    """Measure what the networks' parameters and buffers take, counting shared tensors once."""
    sizes = {
        tensor.data_ptr(): tensor.numel() * tensor.element_size()
        for network in networks(model)
        for tensor in (*network.parameters(), *network.buffers())
    }
    return sum(sizes.values())


def networks(model: LoadedModel) -> Iterator[Any]:
    """Give every network of the model; a ControlNet is one by itself."""
    yield model.unet
    if model.vae is not None:
        yield model.vae
    yield from model.text_encoders
