"""Attention and residual blocks of diffusers without what does nothing: the same numbers, to the bit.

diffusers looks its processor's signature up at every call, divides by 1, and projects the prompt anew at
every step, though it does not change. In a small network that is a fifth of the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.nn import functional

from .convolution import laid_out
from .lean_norm import lean_norm
from .lean_transformer import lean_transformer

__all__ = ["LeanAttention", "LeanResnet", "make_lean", "remembering"]

# Keys and values of so many rows are remembered: one picture's prompt, negative and positive, or those of
# four regions (some 8 MB a row in Stable Diffusion 1.5). Of batches they would take more memory than time.
_ROWS = 8


@dataclass(slots=True)
class _Heard:
    """What the layers of one network made of the prompt that they heard last, while they are to remember it."""

    remembers: bool = False
    made: dict[nn.Module, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    time: tuple[torch.Tensor, torch.Tensor] | None = None  # as it was told, and activated

    def forget(self) -> None:
        """Let go of everything."""
        self.remembers = False
        self.made.clear()
        self.time = None


class LeanAttention(Attention):  # type: ignore[misc]  # diffusers has no types
    """Scaled dot-product attention; masks, another processor and compilers at work are left to diffusers."""

    heard: _Heard  # shared by all layers of a network

    def forward(
        self,
        hidden_states: torch.Tensor,  # (batch, pixels, channels)
        encoder_hidden_states: torch.Tensor | None = None,  # (batch, tokens, width)
        attention_mask: torch.Tensor | None = None,
        **more: Any,
    ) -> torch.Tensor:
        """Attend to the prompt, or to the pixels themselves."""
        plain = attention_mask is None and not more and type(self.processor) is AttnProcessor2_0
        if not plain or torch.compiler.is_compiling():
            left: torch.Tensor = super().forward(hidden_states, encoder_hidden_states, attention_mask, **more)
            return left
        query = self._parted(self.to_q(hidden_states))
        if encoder_hidden_states is None:
            key, value = self._projected(hidden_states)
        else:
            key, value = self._told(encoder_hidden_states)
        attended = functional.scaled_dot_product_attention(query, key, value)
        joined: torch.Tensor = self.to_out[0](attended.transpose(1, 2).flatten(2))
        return joined

    def _told(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.heard.remembers or len(tokens) > _ROWS:
            return self._projected(tokens)
        known = self.heard.made.get(self)
        if known is None or known[0] is not tokens:
            known = self.heard.made[self] = (tokens, *self._projected(tokens))
        return known[1:]

    def _projected(self, taken: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._parted(self.to_k(taken)), self._parted(self.to_v(taken))

    def _parted(self, projected: torch.Tensor) -> torch.Tensor:
        """Part channels among heads: (batch, heads, length, channels / heads)."""
        batch, length, channels = projected.shape
        return projected.view(batch, length, self.heads, channels // self.heads).transpose(1, 2)


class LeanResnet(ResnetBlock2D):  # type: ignore[misc]  # diffusers has no types
    """A residual block that neither drops out nor scales, told the time by addition or not at all."""

    heard: _Heard  # shared by all layers of a network

    def forward(self, input_tensor: torch.Tensor, temb: torch.Tensor | None) -> torch.Tensor:
        """Give (batch, out, h, w)."""
        hidden = self.conv1(functional.silu(self.norm1(input_tensor)))
        if temb is not None and self.time_emb_proj is not None:
            told = self.time_emb_proj(self._active(temb))
            hidden = hidden + told.view(*told.shape, 1, 1)
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        beside = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        summed: torch.Tensor = beside + hidden
        return summed

    def _active(self, time: torch.Tensor) -> torch.Tensor:
        """Activate the time once a call of the network, not in each of its blocks."""
        if not self.heard.remembers:
            return functional.silu(time)
        if self.heard.time is None or self.heard.time[0] is not time:
            self.heard.time = time, functional.silu(time)
        return self.heard.time[1]


def make_lean(network: nn.Module) -> None:
    """Make every plain attention and residual block of `network` a lean one; weights and names stay."""
    heard = _Heard()
    for module in network.modules():
        if type(module) is Attention and _attends_plainly(module):
            module.__class__ = LeanAttention
            module.heard = heard  # type: ignore[assignment]  # mypy takes every attribute of a module for one
        elif type(module) is ResnetBlock2D and _adds_plainly(module):
            module.__class__ = LeanResnet
            module.heard = heard  # type: ignore[assignment]
        else:
            lean_norm(module)
            lean_transformer(module)


@contextmanager
def remembering(network: Any) -> Iterator[None]:
    """Let a network remember what it made of the prompt's tensor and of weights, which must not change meanwhile.

    A network that is no module of torch, but was made of one, has nothing to remember.
    """
    if not isinstance(network, nn.Module):
        yield
        return
    with laid_out(network):
        heard = next((one.heard for one in network.modules() if isinstance(one, LeanAttention)), None)
        if heard is None or heard.remembers:
            yield
            return
        heard.remembers = True
        try:
            yield
        finally:
            heard.forget()


def _attends_plainly(attention: Any) -> bool:
    special = (
        attention.spatial_norm, attention.group_norm, attention.norm_q, attention.norm_k, attention.norm_cross,
    )  # fmt: skip
    return (
        not any(special)
        and attention.rescale_output_factor == 1
        and not attention.residual_connection
        and attention.to_out is not None
        and attention.added_kv_proj_dim is None
    )


def _adds_plainly(block: Any) -> bool:
    return (
        type(block.nonlinearity) is nn.SiLU
        and block.upsample is None
        and block.downsample is None
        and (block.time_embedding_norm == "default" or block.time_emb_proj is None)
        and not block.skip_time_act
        and block.output_scale_factor == 1
    )
