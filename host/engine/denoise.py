"""The denoising loop: scheduler, guidance, windows; it reads as the papers do.

Windows are predicted in batches and blended before the one scheduler step of a timestep, so that
every scheduler works over them. With one window this is a plain pipeline, to the pixel.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch

from .conditioning import Conditions
from .control import Moment
from .latents import Mosaic
from .lean import remembering
from .regions import Mixed, Regions
from .schedule import Schedule
from .seamless import Axes, seamless

__all__ = ["Report", "denoise", "guide"]


class Report(Protocol):
    """Hears how far the loop is; may raise to end it."""

    def predicted(self, call: int, rows: int) -> None:
        """Hear that `rows` more rows (windows times samples) of the UNet call of that index are done."""

    def stepped(self, call: int, latents: torch.Tensor) -> None:
        """Hear the latents after the scheduler's step."""


@torch.inference_mode()
def denoise(
    latents: torch.Tensor,
    unet: Any,
    schedule: Schedule,
    conditions: Conditions,
    mosaic: Mosaic | Regions,
    report: Report,
) -> torch.Tensor:
    """Denoise `latents`, (samples, 4, h/8, w/8) in float32 on the UNet's device.

    Regions are guided each by its own conditions, and `conditions` are those of the whole canvas.
    """
    networks: list[Any] = [unet]
    if conditions.controls:
        networks += [guide.network for guide in conditions.controls.guides]
    x = latents
    moments = schedule.timesteps.to(x.device)

    def predict(
        call: int, rows: torch.Tensor, *, told: Conditions | Mixed = conditions, rounds: Axes = mosaic.rounds
    ) -> torch.Tensor:
        if told is not conditions:
            told = replace(told, controls=conditions.controls)  # which the whole canvas follows
        with seamless(networks, rounds):
            noise = guide(unet, rows, moments[call], told, Moment(call, len(moments)))
        report.predicted(call, len(rows))
        return noise

    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(remembering(network))
        for call, t in enumerate(schedule.timesteps):
            x_in = schedule.scheduler.scale_model_input(x, t)
            noise = mosaic.blend(x_in, partial(predict, call))
            x = schedule.kept(call, schedule.step(noise, t, x))
            report.stepped(call, x)
    return x


def guide(
    unet: Any,
    rows: torch.Tensor,
    t: torch.Tensor,
    conditions: Conditions | Mixed,
    moment: Moment | None = None,
) -> torch.Tensor:
    """Predict the noise in `rows`, away from the negative prompt, by classifier-free guidance.

    Ho and Salimans 2022, https://arxiv.org/abs/2207.12598; both halves go through the UNet at once.
    """
    arguments = conditions.repeated(len(rows))
    avoiding = rows[conditions.apart] if isinstance(conditions, Mixed) else rows
    taken = torch.cat([avoiding, rows]) if conditions.guided else rows  # (1 or 2 * rows, 4, h, w)
    taken = taken.to(conditions.tokens.dtype)
    if conditions.controls and moment:
        arguments |= conditions.controls.residuals(taken, t, arguments, moment)
        taken = taken[:, : conditions.controls.unet_channels]
    noise: torch.Tensor = unet(taken, t, **arguments, return_dict=False)[0]
    if not conditions.guided:
        return noise.float()
    negative, positive = noise[: len(avoiding)].float(), noise[len(avoiding) :].float()
    if isinstance(conditions, Mixed):
        negative = negative[conditions.of_row]
    return negative + conditions.guidance * (positive - negative)
