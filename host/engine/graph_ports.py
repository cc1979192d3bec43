"""Inputs and outputs of each network that can be compiled, read off its settings: names, types and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..contracts.engines import Component, Port
from ..contracts.models import Precision
from ..contracts.protocols import LoadedModel
from .components import CELL_PX, is_sdxl

__all__ = ["TOKENS", "network_of", "ports", "text_outputs"]

TOKENS = 77  # that CLIP reads at once; longer prompts are several such pieces end to end
_TIMES = {True: 5, False: 6}  # numbers that SDXL's refiner and SDXL's base are told beside the prompt
_PICTURE = {Component.VAE_ENCODER, Component.CONTROLNET}

Ports = tuple[tuple[Port, ...], tuple[Port, ...]]


def network_of(model: LoadedModel, component: Component) -> Any:
    """Give the network that holds a component's weights."""
    if component in {Component.VAE_ENCODER, Component.VAE_DECODER}:
        return model.vae
    if component is Component.TEXT_ENCODER:
        return model.text_encoders[0]
    if component is Component.TEXT_ENCODER_2:
        return model.text_encoders[-1]
    return model.unet


def ports(model: LoadedModel, component: Component, precision: Precision) -> Ports:
    """Give (inputs, outputs) of a component that computes in `precision`, in the order in which they are passed.

    The timestep is always float32: 999 is no number of bfloat16. Halved axes are rounded up.
    """
    network = network_of(model, component)
    kind = str(precision)
    if component is Component.VAE_ENCODER:
        return _encoder(network, kind)
    if component is Component.VAE_DECODER:
        return _decoder(network, kind)
    if component in {Component.TEXT_ENCODER, Component.TEXT_ENCODER_2}:
        return _text(network, kind)
    told = _told(model, kind)
    residuals = tuple(_residuals(network.config, kind))
    if component is Component.CONTROLNET:
        levels = ("batch", 3, *_pixels())
        return (
            *told,
            Port(name="controlnet_cond", dtype=kind, shape=levels),
            *_added(model, kind),
        ), residuals
    noise = Port(
        name="noise_pred", dtype=kind, shape=("batch", network.config.out_channels, "height", "width")
    )
    more = residuals if component is Component.CONTROLLED_UNET else ()
    return (*told, *_added(model, kind), *more), (noise,)


def text_outputs(network: Any) -> tuple[str, ...]:
    """Name what a text encoder gives: what it says in the end, its projection if it has one, every layer's state."""
    layers = network.config.num_hidden_layers
    projected = ("text_embeds",) if hasattr(network, "text_projection") else ()
    return ("last_hidden_state", *projected, *(f"hidden_state_{index}" for index in range(layers + 1)))


def _told(model: LoadedModel, kind: str) -> tuple[Port, ...]:
    settings = model.unet.config
    return (
        Port(name="sample", dtype=kind, shape=("batch", settings.in_channels, "height", "width")),
        Port(name="timestep", dtype="float32", shape=(1,)),
        Port(
            name="encoder_hidden_states", dtype=kind, shape=("batch", "tokens", settings.cross_attention_dim)
        ),
    )


def _added(model: LoadedModel, kind: str) -> tuple[Port, ...]:
    """Give what SDXL is told beside the tokens."""
    if not is_sdxl(model):
        return ()
    settings = model.unet.config
    # a ControlNet is loaded without the options of its model, and there is none for the refiner
    times = _TIMES[bool(model.options.get("requires_aesthetics_score", False))]
    width = settings.projection_class_embeddings_input_dim - times * settings.addition_time_embed_dim
    return (
        Port(name="text_embeds", dtype=kind, shape=("batch", width)),
        Port(name="time_ids", dtype=kind, shape=("batch", times)),
    )


def _residuals(settings: Any, kind: str) -> Iterator[Port]:
    """Give what ControlNets add to a UNet: one for the first convolution, each layer and each halving, and the middle."""
    widths = settings.block_out_channels
    layers = settings.layers_per_block
    each = [layers] * len(widths) if isinstance(layers, int) else list(layers)
    found = [(widths[0], 1)]
    for level, (width, count) in enumerate(zip(widths, each, strict=True)):
        found += [(width, 2**level)] * count
        if level + 1 < len(widths):
            found.append((width, 2 ** (level + 1)))
    middle = len(found)
    found.append((widths[-1], 2 ** (len(widths) - 1)))
    for index, (width, factor) in enumerate(found):
        down, across = ("height", "width") if factor == 1 else (f"height/{factor}", f"width/{factor}")
        name = "mid_block" if index == middle else f"down_block_{index}"
        yield Port(name=name, dtype=kind, shape=("batch", width, down, across))


def _encoder(vae: Any, kind: str) -> Ports:
    image = Port(name="image", dtype=kind, shape=("batch", vae.config.in_channels, *_pixels()))
    channels = 2 * vae.config.latent_channels  # mean and logarithm of the variance
    return (image,), (Port(name="moments", dtype=kind, shape=("batch", channels, "height", "width")),)


def _decoder(vae: Any, kind: str) -> Ports:
    latents = Port(name="latents", dtype=kind, shape=("batch", vae.config.latent_channels, "height", "width"))
    return (latents,), (Port(name="image", dtype=kind, shape=("batch", vae.config.out_channels, *_pixels())),)


def _text(encoder: Any, kind: str) -> Ports:
    length = min(TOKENS, encoder.config.max_position_embeddings)
    states = ("batch", length, encoder.config.hidden_size)
    embeds = ("batch", encoder.config.projection_dim)
    given = tuple(
        Port(name=name, dtype=kind, shape=embeds if name == "text_embeds" else states)
        for name in text_outputs(encoder)
    )
    return (Port(name="input_ids", dtype="int64", shape=("batch", length)),), given


def _pixels() -> tuple[str, str]:
    return f"height*{CELL_PX}", f"width*{CELL_PX}"
