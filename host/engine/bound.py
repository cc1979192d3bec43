"""Networks of torch whose calls go to compiled engines while a context lasts; the others, and the weights, stay.

What an engine does not take (another size, a longer prompt) is done by torch, and told once. An engine that fails
is not called again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPTextModelOutput

from ..contracts.engines import CompiledNetwork, Component, Port, Profile
from ..contracts.protocols import LoadedModel
from ..errors import CancelledError, EngineOpenError
from .device import is_out_of_memory
from .graph_ports import network_of, text_outputs

__all__ = ["TEXTS", "Bound", "Hearing", "Untaken", "lengths", "swapped", "unet_inputs"]

TEXTS = frozenset({Component.TEXT_ENCODER, Component.TEXT_ENCODER_2})
_UNET_ARGUMENTS = {
    "added_cond_kwargs",
    "down_block_additional_residuals",
    "mid_block_additional_residual",
}

_REMEDIES = {
    "height": "; windows (a `chunking_size` above 0) take what is larger, an `engine_profile` of 'range' all sizes",
    "tokens": "; an `engine_profile` of 'range' takes long prompts",
}
_REMEDIES["width"] = _REMEDIES["height"]
_NAMED = re.compile(r"([a-z_]+)(?:([*/])(\d+))?")


class Untaken(Exception):  # noqa: N818 - not an error: torch does it
    """An engine does not take inputs of these lengths."""


def lengths(ports: Sequence[Port], inputs: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Read the lengths of the named axes off inputs."""
    found = {}
    for port in ports:
        for word, length in zip(port.shape, inputs[port.name].shape, strict=False):
            if isinstance(word, str) and (parts := _NAMED.fullmatch(word)):
                name, sign, factor = parts.groups()
                scaled = {"*": length // int(factor or 1), "/": length * int(factor or 1)}.get(sign, length)
                # a halved axis is rounded, so that a whole one knows better
                if sign is None or name not in found:
                    found[name] = scaled
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """An open engine with what is known of its inputs."""

    component: Component
    engine: CompiledNetwork
    inputs: tuple[Port, ...]
    profile: Profile

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Run on inputs of any type of number; batches larger than the engine takes go in parts.

        Raises Untaken, saying what, for lengths outside of the profile, and EngineOpenError where the engine fails.
        """
        at = lengths(self.inputs, inputs)
        batch = self._checked(at)
        taken = {port.name: _shaped(inputs[port.name], port) for port in self.inputs}
        if at.get("batch", batch) <= batch:
            return self._run(taken)
        parts = [
            [tensor.clone() for tensor in self._run(self._rows(taken, start, start + batch))]
            for start in range(0, at["batch"], batch)
        ]
        return tuple(torch.cat(same) for same in zip(*parts, strict=True))

    def _run(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        try:
            return self.engine(inputs)
        except EngineOpenError:
            raise
        except Exception as error:
            # a stop, and a full device, are dealt with where the job is
            if isinstance(error, CancelledError) or is_out_of_memory(error):
                raise
            said = " ".join(str(error).split()) or type(error).__name__
            raise EngineOpenError(f"its engine failed while it ran: {said}") from error

    def _checked(self, at: Mapping[str, int]) -> int:
        """Give how many rows go in one call."""
        for name, length in at.items():
            span = self.profile[name]
            if name == "batch" and length >= span.min:
                continue
            if not span.holds(length):
                raise Untaken(
                    f"{self.component}: the engine takes {name} {span.min} to {span.max}, and this is {length}"
                    + _REMEDIES.get(name, "")
                )
        return self.profile["batch"].max if "batch" in self.profile else 1

    def _rows(self, inputs: Mapping[str, torch.Tensor], start: int, end: int) -> dict[str, torch.Tensor]:
        return {
            port.name: inputs[port.name][start:end] if port.shape[:1] == ("batch",) else inputs[port.name]
            for port in self.inputs
        }


def _shaped(tensor: torch.Tensor, port: Port) -> torch.Tensor:
    """Give an input as the port has it; a scalar is a port's only item."""
    converted = tensor.to(getattr(torch, port.dtype))
    return converted.reshape(()) if not port.shape else converted.reshape(1) if not tensor.ndim else converted


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who hears of engines that ran or failed, and of what torch did in their place and why."""

    used: Callable[[Component], None]
    torch_did: Callable[[str], None]
    failed: Callable[[Bound], None]


@contextmanager
def swapped(model: LoadedModel, engines: Sequence[Bound], hearing: Hearing) -> Iterator[None]:
    """Send the calls of the model's networks to these engines; undone when the context ends."""
    tried = {one.component: _Tried(one, hearing) for one in engines}
    with ExitStack() as stack:
        unets = tried.get(Component.UNET), tried.get(Component.CONTROLLED_UNET)
        if any(unets):
            stack.enter_context(_instead(model.unet, "forward", _unet(model.unet.forward, *unets)))
        # `decode` and `encode` hand these one slice, or the whole batch; its tiles are torch's
        if decoder := tried.get(Component.VAE_DECODER):
            stack.enter_context(_instead(model.vae, "_decode", _decode(model.vae, decoder)))
        if encoder := tried.get(Component.VAE_ENCODER):
            stack.enter_context(_instead(model.vae, "_encode", _encode(model.vae, encoder)))
        for component in TEXTS.intersection(tried):
            reader = network_of(model, component)
            stack.enter_context(_instead(reader, "forward", _text(reader, tried[component])))
        yield


class _Tried:
    """An engine that is tried first, until it fails; what it does not take is told once for each reason."""

    def __init__(self, engine: Bound, hearing: Hearing) -> None:
        self._engine = engine
        self._hearing = hearing
        self._ran = self._failed = False

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """Give the first output, or None where torch must do it."""
        outputs = self.all(inputs)
        return None if outputs is None else outputs[0]

    def all(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...] | None:
        """Give every output, or None where torch must do it."""
        if self._failed:
            return None
        try:
            outputs = self._engine(inputs)
        except Untaken as why:
            self._hearing.torch_did(str(why))
            return None
        except EngineOpenError as error:
            self._failed = True
            self._hearing.failed(self._engine)
            self._hearing.torch_did(f"{self._engine.component}: {error}")
            return None
        if not self._ran:
            self._ran = True
            self._hearing.used(self._engine.component)
        return outputs


def _unet(whole: Callable[..., Any], plain: _Tried | None, controlled: _Tried | None) -> Callable[..., Any]:
    def forward(
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        *,
        return_dict: bool = True,
        **more: Any,
    ) -> Any:
        arguments = {name: value for name, value in more.items() if value is not None}
        residuals = arguments.get("mid_block_additional_residual")
        engine = plain if residuals is None else controlled
        known = arguments.keys() <= _UNET_ARGUMENTS
        noise = None
        if engine is not None and known:
            inputs = {"sample": sample, "timestep": timestep, "encoder_hidden_states": encoder_hidden_states}
            noise = engine(inputs | unet_inputs(arguments))
        if noise is None:
            return whole(sample, timestep, encoder_hidden_states, return_dict=return_dict, **more)
        noise = noise.to(sample.dtype, copy=True)  # an engine may use its buffer again
        return UNet2DConditionOutput(sample=noise) if return_dict else (noise,)

    return forward


def unet_inputs(arguments: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Give diffusers' arguments of a UNet, beyond the first three, by the names of an engine's inputs."""
    inputs: dict[str, torch.Tensor] = dict(arguments.get("added_cond_kwargs", {}))
    down = arguments.get("down_block_additional_residuals", ())
    inputs |= {f"down_block_{index}": tensor for index, tensor in enumerate(down)}
    if "mid_block_additional_residual" in arguments:
        inputs["mid_block"] = arguments["mid_block_additional_residual"]
    return inputs


def _decode(vae: Any, engine: _Tried) -> Callable[..., Any]:
    whole = vae._decode  # noqa: SLF001 - what `decode` does

    def decode(z: torch.Tensor, return_dict: bool = True) -> Any:
        tiled = vae.use_tiling and max(z.shape[-2:]) > vae.tile_latent_min_size
        pixels = None if tiled else engine({"latents": z})
        if pixels is None:
            return whole(z, return_dict=return_dict)
        pixels = pixels.to(z.dtype)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)

    return decode


def _encode(vae: Any, engine: _Tried) -> Callable[..., torch.Tensor]:
    whole = vae._encode  # noqa: SLF001 - what `encode` does

    def encode(x: torch.Tensor) -> torch.Tensor:
        tiled = vae.use_tiling and max(x.shape[-2:]) > vae.tile_sample_min_size
        moments = None if tiled else engine({"image": x})
        given: torch.Tensor = whole(x) if moments is None else moments.to(x.dtype)
        return given

    return encode


def _text(encoder: Any, engine: _Tried) -> Callable[..., Any]:
    whole, names, dtype = encoder.forward, text_outputs(encoder), encoder.dtype

    def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **more: Any) -> Any:
        heard = attention_mask is None or bool(attention_mask.all())  # engines know no masks
        outputs = engine.all({"input_ids": input_ids}) if heard else None
        if outputs is None:
            return whole(input_ids, attention_mask, **more)
        said = {name: tensor.to(dtype, copy=True) for name, tensor in zip(names, outputs, strict=True)}
        states = tuple(tensor for name, tensor in said.items() if name.startswith("hidden_state_"))
        kind = CLIPTextModelOutput if "text_embeds" in said else BaseModelOutputWithPooling
        given = {name: tensor for name, tensor in said.items() if not name.startswith("hidden_state_")}
        return kind(**given, hidden_states=states if more.get("output_hidden_states") else None)

    return forward


@contextmanager
def _instead(network: Any, name: str, made: Callable[..., Any]) -> Iterator[None]:
    """Let `network` have `made` for its own method of that name."""
    before = vars(network).get(name)
    setattr(network, name, made)
    try:
        yield
    finally:
        if before is None:
            delattr(network, name)
        else:
            setattr(network, name, before)
