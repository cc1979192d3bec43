"""Filling holes: what a diffusion starts from, sees beside its latents, and keeps after every step.

A UNet of nine channels sees the mask and what surrounds it at every step (Rombach et al. 2022,
https://arxiv.org/abs/2112.10752). One of four does not: after every step, what is kept is laid over
it at the noise of that step (Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865, without its
resampling). Both equal diffusers' inpainting pipelines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..contracts.protocols import LoadedModel
from ..errors import UnsupportedError
from .components import Shapes, shapes
from .latents import encode, offset
from .schedule import Schedule
from .seamless import Axes

__all__ = ["Hole", "Start", "check_fills", "fill"]

_MASK_CHANNELS = 1


@dataclass(frozen=True, slots=True)
class Hole:
    """A picture in [-1, 1], (1, 3, h, w), and the hole in it, (1, 1, h, w), 1 where it is repainted."""

    pixels: torch.Tensor
    mask: torch.Tensor
    strength: float  # 0 to 1; 1 starts from noise alone
    tile: Axes = (False, False)  # where the picture goes on at its other end

    def surroundings(self) -> torch.Tensor:
        """Give the pixels with the hole in the middle of their range."""
        return self.pixels * (self.mask < 0.5)  # noqa: PLR2004 - half of a mask's range

    def cells(self) -> torch.Tensor:
        """Give the mask in latent cells, (1, 1, h/8, w/8): the level of each cell's first pixel."""
        height, width = (side // 8 for side in self.mask.shape[-2:])
        return torch.nn.functional.interpolate(self.mask, size=(height, width))


@dataclass(frozen=True, slots=True)
class Start:
    """What is handed to the denoising loop; tensors on the CPU."""

    latents: torch.Tensor  # (samples, 4, h/8, w/8), as noisy as the first timestep
    beside: torch.Tensor | None = None  # (samples, 5, h/8, w/8) for a UNet of nine channels
    keep: Callable[[int, torch.Tensor], torch.Tensor] | None = None  # for one of four: after every call


def check_fills(model: LoadedModel) -> Shapes:
    """Give the shapes of a model that can fill holes; raises UnsupportedError for other kinds."""
    found = shapes(model)
    fills = (found.latent_channels, 2 * found.latent_channels + _MASK_CHANNELS)
    if found.unet_channels not in fills:
        raise UnsupportedError(
            f"The model '{model.spec.weights.path}' takes {found.unet_channels} channels; "
            f"one of {fills[0]} or {fills[1]} channels fills masks."
        )
    return found


def fill(
    model: LoadedModel,
    schedule: Schedule,
    hole: Hole,
    samples: int,
    generator: torch.Generator,
    noise_offset: float = 0.0,
) -> Start:
    """Prepare the filling of one hole, `samples` times, drawing in the order of diffusers' pipelines."""
    found = check_fills(model)
    sees = found.unet_channels != found.latent_channels
    pure = hole.strength >= 1.0
    cells = hole.cells()
    clean = (
        None
        if sees and pure
        else encode(model.vae, hole.pixels, generator, hole.tile).repeat(samples, 1, 1, 1)
    )
    noise = torch.randn((samples, found.latent_channels, *cells.shape[-2:]), generator=generator)
    noise = offset(noise, noise_offset, generator)
    if pure or clean is None:
        latents = noise * schedule.scheduler.init_noise_sigma
    else:
        latents = schedule.start(clean, noise)
    if sees:
        seen = encode(model.vae, hole.surroundings(), generator, hole.tile)
        beside = torch.cat([cells, seen], dim=1).repeat(samples, 1, 1, 1)
        return Start(latents=latents, beside=beside)
    assert clean is not None  # noqa: S101 - left out only where the UNet sees
    # The pipelines encode the surroundings here too, and do not look at them; schedulers that draw
    # noise of their own go on from this place of the generator.
    torch.randn((1, *clean.shape[1:]), generator=generator)
    return Start(latents=latents, keep=_keep(schedule, clean, noise, cells))


def _keep(
    schedule: Schedule, clean: torch.Tensor, noise: torch.Tensor, cells: torch.Tensor
) -> Callable[[int, torch.Tensor], torch.Tensor]:
    moments = schedule.timesteps

    def keep(call: int, latents: torch.Tensor) -> torch.Tensor:
        """Lay what is kept over the latents, at the noise of the next call; clean after the last."""
        kept = clean
        if call + 1 < len(moments):
            kept = schedule.scheduler.add_noise(clean, noise, moments[call + 1 : call + 2])
        home = latents.device
        mask = cells.to(home)
        return (1 - mask) * kept.to(home) + mask * latents

    return keep
