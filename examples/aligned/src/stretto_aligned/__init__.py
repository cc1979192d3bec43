"""DPM-Solver++ on the timesteps of Align Your Steps, which draw in ten steps what others draw in twenty.

Sabour, Fidler and Kreis 2024, https://arxiv.org/abs/2404.14507: ten timesteps found for each model, and for another
number of steps a log-linear interpolation of their noise levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from stretto.host import HostView, Scheduler, SchedulerSpec, WeightsError, hookimpl

__version__ = "1.0.0"
REQUIRES_STRETTO_API = ">=1.0,<2"

# By the model that they were found for; diffusers ships the same as `AysSchedules`.
TIMESTEPS: Mapping[str, tuple[int, ...]] = {
    "aligned": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24),
    "aligned_xl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13),
}
TITLES = {"aligned": "Stable Diffusion 1.x and 2.x", "aligned_xl": "Stable Diffusion XL"}
# A model's own config may ask for another spacing, and none goes with timesteps that are given.
GIVEN = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
}


@dataclass(frozen=True)
class Settings:
    """`[plugins.aligned]` in plugins.toml."""

    solver: Literal["midpoint", "heun"] = "midpoint"  # DPM-Solver++'s second-order updates


def spaced(known: Iterable[int], steps: int, alphas_cumprod: Any) -> list[int]:
    """Give `steps` distinct timesteps, falling, at noise levels between those of the `known` ones."""
    import numpy as np

    last = len(alphas_cumprod) - 1
    log_sigmas = np.log(np.sqrt((1 - alphas_cumprod) / alphas_cumprod))
    levels = log_sigmas[[min(step, last) for step in known]]
    wanted = np.interp(np.linspace(0, len(levels) - 1, steps), np.arange(len(levels)), levels)
    found = np.interp(wanted, log_sigmas, np.arange(last + 1)).round().astype(int)
    # where steps are dense, two would round to one
    count = np.arange(steps)
    found = np.maximum.accumulate((found + count)[::-1])[::-1] - count
    return [int(step) for step in np.minimum.accumulate(np.minimum(found + count, last)) - count]


def build(name: str, settings: Settings, config: Mapping[str, Any]) -> Scheduler:
    """Make the scheduler over the model's own `config`; raises WeightsError for one that diffusers refuses."""
    from diffusers import DPMSolverMultistepScheduler

    class Aligned(DPMSolverMultistepScheduler):  # type: ignore[misc]  # diffusers ships no types
        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            levels = self.alphas_cumprod.double().numpy()
            super().set_timesteps(
                timesteps=spaced(TIMESTEPS[name], num_inference_steps, levels), device=device
            )

    wanted = {**config, **GIVEN, "algorithm_type": "dpmsolver++", "solver_type": settings.solver}
    try:
        scheduler: Scheduler = Aligned.from_config(wanted)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise WeightsError(f"the model's scheduler config cannot be used by '{name}': {error}") from error
    return scheduler


@hookimpl
def register_schedulers(host: HostView) -> Iterable[SchedulerSpec]:
    """Offer one scheduler for each kind of model."""
    settings = host.plugin_settings("aligned", Settings)
    return [
        SchedulerSpec(
            name=name, title=f"DPM-Solver++, steps aligned for {title}", build=partial(build, name, settings)
        )
        for name, title in TITLES.items()
    ]
