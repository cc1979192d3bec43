"""The timesteps of one denoising: which scheduler, from which step on, and what counts as progress."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..contracts.protocols import Scheduler
from ..errors import EngineError

__all__ = ["Schedule", "lay_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A scheduler at its first step, and its `timesteps` on the CPU.

    `steps` counts what was asked for; second-order schedulers take up to two timesteps for one.
    """

    scheduler: Scheduler
    timesteps: torch.Tensor  # (calls,)
    steps: int
    options: Mapping[str, Any]
    on_cpu: bool = False  # the scheduler draws noise where its latents are: no picture may depend on that
    keep: Callable[[int, torch.Tensor], torch.Tensor] | None = None  # what must hold after every call

    def step(self, noise: torch.Tensor, timestep: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Go one step from `timestep` towards clean latents, which stay on their device."""
        home = latents.device
        if self.on_cpu:
            noise, latents = noise.cpu(), latents.cpu()
        stepped: torch.Tensor = self.scheduler.step(
            noise, timestep, latents, **self.options, return_dict=False
        )[0]
        return stepped.to(home)

    def kept(self, call: int, latents: torch.Tensor) -> torch.Tensor:
        """Give the latents after the step of that call with what must hold; mostly the same."""
        return latents if self.keep is None else self.keep(call, latents)

    def start(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Noise clean latents to the level of the first timestep; unchanged if there is none."""
        if not len(self.timesteps):
            return latents
        return self.scheduler.add_noise(latents, noise, self.timesteps[:1].repeat(len(latents)))

    def completes(self, call: int) -> bool:
        """Say whether the UNet call of that index ends a step; exactly `steps` calls do."""
        calls, order = len(self.timesteps), self.scheduler.order
        warm_up = max(calls - self.steps * order, 0)
        return call + 1 == calls or (call + 1 > warm_up and (call + 1) % order == 0)


def lay_out(
    scheduler: Scheduler,
    steps: int,
    generator: torch.Generator,
    strength: float | None = None,
    *,
    on_cpu: bool = False,
) -> Schedule:
    """Lay out `steps` timesteps, or with `strength` (0 to 1) the last `int(steps * strength)` of them.

    Timesteps stay on the CPU, where schedulers look their tables up without waiting for the device.
    Raises EngineError for more steps than a scheduler has noise levels for.
    """
    scheduler.set_timesteps(steps, device="cpu")
    _check_steps(scheduler, steps)
    kept = steps if strength is None else min(int(steps * strength), steps)
    begin = (steps - kept) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    return Schedule(
        scheduler=scheduler,
        timesteps=scheduler.timesteps[begin:] if kept else scheduler.timesteps[:0],
        steps=kept,
        options={"generator": generator} if takes_generator else {},
        on_cpu=on_cpu,
    )


def _check_steps(scheduler: Scheduler, steps: int) -> None:
    """Refuse steps whose noise level a scheduler looks up behind the end of its table (DDIM, DDPM and PNDM do)."""
    levels = getattr(scheduler, "alphas_cumprod", None)
    if levels is None or hasattr(scheduler, "sigmas") or int(scheduler.timesteps.max()) < len(levels):
        return
    raise EngineError(
        f"num_inference_steps: {steps} are more than this scheduler has noise levels for, of which it leaves out the "
        f"first {scheduler.config.get('steps_offset', 0)} of {len(levels)}; ask for fewer, or another scheduler"
    )
