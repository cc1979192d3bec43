"""Norms without torch's checks of what they are given: the same numbers, to the bit."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["LeanGroupNorm", "LeanLayerNorm", "lean_norm"]


class LeanGroupNorm(nn.GroupNorm):
    """Norms groups of channels (https://arxiv.org/abs/1803.08494)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name; (batch, channels, ...)
        """Give what is as large."""
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class LeanLayerNorm(nn.LayerNorm):
    """Norms the last dimensions (https://arxiv.org/abs/1607.06450)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name; (..., *normalized_shape)
        """Give what is as large."""
        return torch.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


def lean_norm(module: nn.Module) -> None:
    """Make a norm of torch's own a lean one; others stay what they are."""
    if type(module) is nn.GroupNorm:
        module.__class__ = LeanGroupNorm
    elif type(module) is nn.LayerNorm:
        module.__class__ = LeanLayerNorm
