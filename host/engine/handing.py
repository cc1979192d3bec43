"""Handing unfinished latents from one model to another: an ensemble of expert denoisers.

Balaji et al. 2022, https://arxiv.org/abs/2211.01324; the share of the steps is counted in the training
timesteps, as diffusers' `denoising_end` and `denoising_start` are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..contracts.protocols import Scheduler
from .schedule import Schedule, lay_out

__all__ = ["Handed", "go_on", "part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Latents at `moment`, the timestep that comes next; None if none is left."""

    latents: torch.Tensor  # (samples, 4, h/8, w/8)
    generator: torch.Generator
    moment: float | None
    done: int  # steps
    left: int


def part(schedule: Schedule, share: float | None) -> tuple[Schedule, float | None]:
    """Keep the steps up to `share` (0 to 1) of a denoising, one at least, and give the timestep that comes next.

    A second-order step is never parted. Without a share everything is kept.
    """
    if share is None:
        return schedule, None
    trained = schedule.scheduler.config.num_train_timesteps
    cutoff = round(trained - share * trained)
    calls, order = int((schedule.timesteps >= cutoff).sum()), schedule.scheduler.order
    if calls >= len(schedule.timesteps):
        return schedule, None
    calls = max(calls - calls % order, order)
    steps = max(min(calls // order, schedule.steps - 1), 1)
    kept = replace(schedule, timesteps=schedule.timesteps[:calls], steps=steps)
    return kept, float(schedule.timesteps[calls])


def go_on(scheduler: Scheduler, steps: int, handed: Handed, *, on_cpu: bool) -> Schedule:
    """Lay out what is left of `steps` timesteps after the hand-over."""
    # its own generator, so that what was handed over can be finished once more
    laid = lay_out(scheduler, steps, handed.generator.clone_state(), on_cpu=on_cpu)
    if handed.moment is None:
        return replace(laid, timesteps=laid.timesteps[:0], steps=0)
    begin = len(laid.timesteps) - int((laid.timesteps <= handed.moment).sum())
    begin += begin % scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    return replace(laid, timesteps=laid.timesteps[begin:], steps=handed.left)
