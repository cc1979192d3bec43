"""ControlNets beside a UNet: what pictures ask for, added to what the UNet makes of the latents.

Zhang, Rao and Agrawala 2023, https://arxiv.org/abs/2302.05543; several are summed, as diffusers' pipelines do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from .components import CELL_PX

__all__ = ["Controls", "Guide", "Moment", "folded"]

_PICTURE_CHANNELS = 3 * CELL_PX * CELL_PX  # of a control image whose pixels stand in the cells they belong to


@dataclass(frozen=True, slots=True)
class Moment:
    """Which UNet call of how many this is; of a second-order step both count."""

    call: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """One ControlNet: how much it counts, and between which shares of the calls."""

    network: Any
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def guides(self, moment: Moment) -> bool:
        """Say whether it counts at a moment, as diffusers' `control_guidance_start` and `_end` do."""
        after = moment.call / moment.calls >= self.start
        return after and (moment.call + 1) / moment.calls <= self.end


@dataclass(frozen=True, slots=True)
class Controls:
    """The ControlNets of one drawing. Their pictures travel as channels after those of the UNet."""

    guides: tuple[Guide, ...]
    unet_channels: int

    def residuals(self, taken: torch.Tensor, t: torch.Tensor, text: Mapping[str, Any], moment: Moment) -> Any:
        """Give the UNet's arguments with what is added to its blocks; none at a moment when nothing counts.

        `taken` is (rows, unet_channels + 192 a guide, h/8, w/8); `text` is what the UNet is told.
        """
        noisy = taken[:, : self.unet_channels]
        pictures = torch.split(taken[:, self.unet_channels :], _PICTURE_CHANNELS, dim=1)
        down: Sequence[torch.Tensor] = ()
        middle = None
        for guide, picture in zip(self.guides, pictures, strict=True):
            if not guide.guides(moment):
                continue
            more, inner = guide.network(
                noisy[:, : guide.network.config.in_channels],  # an inpainting UNet is told more
                t,
                **text,
                controlnet_cond=functional.pixel_shuffle(picture, CELL_PX),
                conditioning_scale=guide.scale,
                return_dict=False,
            )
            down = [a + b for a, b in zip(down, more, strict=True)] if down else more
            middle = inner if middle is None else middle + inner
        if middle is None:
            return {}
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


def folded(levels: torch.Tensor) -> torch.Tensor:
    """Fold a control image in [0, 1], (1, 3, h, w), into cells, (1, 192, h/8, w/8), which windows can cut."""
    return functional.pixel_unshuffle(levels, CELL_PX)
