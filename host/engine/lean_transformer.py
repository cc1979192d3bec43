"""Transformers of diffusers' UNets without their branches for other networks: the same numbers, to the bit.

What they are asked for beyond a prompt (masks, GLIGEN, checkpoints of gradients) is left to diffusers.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.transformers.transformer_2d import Transformer2DModel, Transformer2DModelOutput
from torch import nn
from torch.nn import functional

__all__ = ["LeanBlock", "LeanFeedForward", "LeanTransformer", "lean_transformer"]


class LeanFeedForward(FeedForward):  # type: ignore[misc]  # diffusers has no types
    """Two layers with a gated unit between them (https://arxiv.org/abs/2002.05202), which drop nothing out."""

    def forward(self, hidden_states: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        """Give (batch, pixels, channels)."""
        gated, _, back = self.net
        if more or named or hidden_states.device.type in _OTHERS:
            left: torch.Tensor = super().forward(hidden_states, *more, **named)
            return left
        hidden, gate = gated.proj(hidden_states).chunk(2, dim=-1)
        joined: torch.Tensor = back(hidden * functional.gelu(gate))
        return joined


class LeanBlock(BasicTransformerBlock):  # type: ignore[misc]  # diffusers has no types
    """Pixels attend to each other, then to the prompt, then to themselves."""

    def forward(
        self,
        hidden_states: torch.Tensor,  # (batch, pixels, channels)
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,  # (batch, tokens, width)
        encoder_attention_mask: torch.Tensor | None = None,
        timestep: torch.Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        **more: Any,
    ) -> torch.Tensor:
        """Give (batch, pixels, channels)."""
        masked = attention_mask is not None or encoder_attention_mask is not None
        if masked or cross_attention_kwargs or self._chunk_size is not None:
            left: torch.Tensor = super().forward(
                hidden_states,
                attention_mask=attention_mask,
                encoder_hidden_states=encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask,
                timestep=timestep,
                cross_attention_kwargs=cross_attention_kwargs,
                **more,
            )
            return left
        hidden = self.attn1(self.norm1(hidden_states)) + hidden_states
        hidden = self.attn2(self.norm2(hidden), encoder_hidden_states) + hidden
        done: torch.Tensor = self.ff(self.norm3(hidden)) + hidden
        return done


class LeanTransformer(Transformer2DModel):  # type: ignore[misc]  # diffusers has no types
    """Blocks over the pixels of a picture, which keeps its order in memory."""

    def forward(
        self,
        hidden_states: torch.Tensor,  # (batch, channels, h, w)
        encoder_hidden_states: torch.Tensor | None = None,  # (batch, tokens, width)
        *,
        return_dict: bool = True,
        **more: Any,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        """Give (batch, channels, h, w)."""
        if any(value is not None for value in more.values()) or torch.is_grad_enabled():
            return super().forward(hidden_states, encoder_hidden_states, return_dict=return_dict, **more)
        drawn = self._over_pixels(hidden_states, encoder_hidden_states) + hidden_states
        return Transformer2DModelOutput(sample=drawn) if return_dict else (drawn,)

    def _over_pixels(self, picture: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
        batch, _, height, width = picture.shape
        taken = self.norm(picture)
        if not self.use_linear_projection:
            taken = self.proj_in(taken)
        rows = taken.permute(0, 2, 3, 1).reshape(batch, height * width, taken.shape[1])
        if self.use_linear_projection:
            rows = self.proj_in(rows)
        for block in self.transformer_blocks:
            rows = block(rows, encoder_hidden_states=tokens)
        if self.use_linear_projection:
            rows = self.proj_out(rows)
        back = rows.reshape(batch, height, width, rows.shape[-1]).permute(0, 3, 1, 2)
        if not picture.is_contiguous(memory_format=torch.channels_last):  # else it has its order already
            back = back.contiguous()
        done: torch.Tensor = back if self.use_linear_projection else self.proj_out(back)
        return done


# of which diffusers has its own functions
_OTHERS = ("mps", "npu")


def lean_transformer(module: nn.Module) -> None:
    """Make a transformer of Stable Diffusion's kind, or a part of one, a lean one; others stay what they are."""
    if type(module) is Transformer2DModel and module.is_input_continuous:
        module.__class__ = LeanTransformer
    elif type(module) is BasicTransformerBlock and _is_plain(module):
        module.__class__ = LeanBlock
    elif type(module) is FeedForward and _is_gated(module):
        module.__class__ = LeanFeedForward


def _is_plain(block: Any) -> bool:
    return (
        block.norm_type == "layer_norm"
        and block.attn2 is not None
        and block.pos_embed is None
        and not block.only_cross_attention
    )


def _is_gated(feed: Any) -> bool:
    kinds = [type(part) for part in feed.net]
    return kinds == [GEGLU, nn.Dropout, nn.Linear] and not feed.net[1].p
