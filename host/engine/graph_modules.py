"""Networks as compilers want them: tensors in by position, a tuple of tensors out, nothing else.

They call the classes' own methods, so that what stands in for a method of a network that draws is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..contracts.engines import Component, Port
from .graph_ports import text_outputs

__all__ = ["module_for"]

# A UNet whose sides are halved so often hands its decoder the sizes to come back to, since no side is a
# multiple of that. So one graph is right for every size, not only for multiples of 8 cells.
_HALVINGS = 20


class _Unet(nn.Module):
    """A UNet; what SDXL and ControlNets add follows the first three inputs, by the names of `inputs`."""

    def __init__(self, network: Any, inputs: tuple[Port, ...]) -> None:
        super().__init__()
        self.network = network
        self._names = [port.name for port in inputs]

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give the predicted noise, (batch, 4, h, w)."""
        named = dict(zip(self._names, given, strict=True))
        down = tuple(tensor for name, tensor in named.items() if name.startswith("down_block_"))
        more: dict[str, Any] = {}
        if down:
            more = {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": named["mid_block"],
            }
        with _sized(self.network):
            return tuple(
                type(self.network).forward(
                    self.network,
                    *given[:3],
                    added_cond_kwargs=_added(named),
                    return_dict=False,
                    **more,
                )
            )


class _ControlNet(nn.Module):
    """A ControlNet at full strength; how much it counts is multiplied to what it gives."""

    def __init__(self, network: Any, inputs: tuple[Port, ...]) -> None:
        super().__init__()
        self.network = network
        self._names = [port.name for port in inputs]

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give what is added to the UNet's blocks, and last to its middle."""
        named = dict(zip(self._names, given, strict=True))
        down, middle = type(self.network).forward(
            self.network, *given[:4], added_cond_kwargs=_added(named), return_dict=False
        )
        return (*down, middle)


class _VaeDecoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.before = vae.post_quant_conv or nn.Identity()
        self.decoder = vae.decoder

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give a picture around [-1, 1], (batch, 3, 8 h, 8 w)."""
        return (self.decoder(self.before(given[0])),)


class _VaeEncoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder = vae.encoder
        self.after = vae.quant_conv or nn.Identity()

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give means and logarithms of variances, (batch, 8, h, w)."""
        return (self.after(self.encoder(given[0])),)


class _Text(nn.Module):
    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self._names = text_outputs(encoder)

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give what is said in the end, the projection if there is one, and every layer's state."""
        said = self.encoder(given[0], output_hidden_states=True, return_dict=True)
        first = (said.last_hidden_state, said.text_embeds) if "text_embeds" in self._names else (said[0],)
        return (*first, *said.hidden_states)


def module_for(component: Component, network: Any, inputs: tuple[Port, ...]) -> nn.Module:
    """Give a module over `network` that takes `inputs` by position; it shares the network's weights."""
    if component in {Component.UNET, Component.CONTROLLED_UNET}:
        return _Unet(network, inputs).eval()
    if component is Component.CONTROLNET:
        return _ControlNet(network, inputs).eval()
    made = {Component.VAE_DECODER: _VaeDecoder, Component.VAE_ENCODER: _VaeEncoder}
    return made.get(component, _Text)(network).eval()


def _added(named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give what SDXL is told; diffusers joins the text to times in float32, and ONNX joins but equal types."""
    if "text_embeds" not in named:
        return {}
    return {"text_embeds": named["text_embeds"].float(), "time_ids": named["time_ids"]}


@contextmanager
def _sized(network: Any) -> Iterator[None]:
    """Let a UNet tell its decoder the sizes while compilers look; values are the same for every size."""
    if not torch.compiler.is_compiling():
        yield
        return
    before = network.num_upsamplers
    network.num_upsamplers = _HALVINGS
    try:
        yield
    finally:
        network.num_upsamplers = before
