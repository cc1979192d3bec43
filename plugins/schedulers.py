"""The noise schedulers of diffusers, under the names of the JSON API."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from stretto.host import Scheduler, SchedulerSpec, WeightsError, hookimpl

__all__ = ["register_schedulers"]

# Latents are not bounded by -1 and 1 as pictures are, whatever a model's file says or leaves out.
LATENTS: Mapping[str, Any] = {"clip_sample": False, "thresholding": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One scheduler: what it is called here and elsewhere, diffusers' class, and keys it needs."""

    name: str
    class_name: str
    title: str
    aliases: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed_key: str | None = None


ROWS = (
    Row("ddim", "DDIMScheduler", "DDIM"),
    Row("ddpm", "DDPMScheduler", "DDPM"),
    Row("deis", "DEISMultistepScheduler", "DEIS, multistep"),
    Row("dpmsm", "DPMSolverMultistepScheduler", "DPM-Solver++, multistep", ("dpmpp_2m", "dpm++_2m")),
    # Without lower_order_final it changes its own config on the first odd number of steps.
    Row("dpmss", "DPMSolverSinglestepScheduler", "DPM-Solver++, single-step", ("dpmpp_2s",),
        {"lower_order_final": True}),
    Row("heun", "HeunDiscreteScheduler", "Heun"),
    Row("dpmd", "KDPM2DiscreteScheduler", "DPM2", ("dpm2",)),
    Row("adpmd", "KDPM2AncestralDiscreteScheduler", "DPM2, ancestral", ("dpm2_a", "dpm2_ancestral")),
    Row("dpmsde", "DPMSolverSDEScheduler", "DPM-Solver++, SDE", ("dpmpp_sde", "dpm++_sde"),
        seed_key="noise_sampler_seed"),
    Row("unipc", "UniPCMultistepScheduler", "UniPC, multistep", ("uni_pc",)),
    Row("lmsd", "LMSDiscreteScheduler", "Linear multistep", ("lms",)),
    # Its Runge-Kutta start takes up to twelve calls more, and fails outright below four steps.
    Row("pndm", "PNDMScheduler", "Pseudo linear multistep", ("plms",), {"skip_prk_steps": True}),
    Row("eds", "EulerDiscreteScheduler", "Euler", ("euler",)),
    Row("eads", "EulerAncestralDiscreteScheduler", "Euler, ancestral", ("euler_a", "euler_ancestral")),
)  # fmt: skip


@hookimpl
def register_schedulers() -> Iterable[SchedulerSpec]:
    """Offer all rows; the class's name is an alias, so a model's own `_class_name` is understood too."""
    return [
        SchedulerSpec(
            name=row.name,
            title=row.title,
            aliases=(*row.aliases, row.class_name),
            build=partial(_build, row),
            seed_key=row.seed_key,
        )
        for row in ROWS
    ]


def _build(row: Row, config: Mapping[str, Any]) -> Scheduler:
    """Make the scheduler from a model's own config, of whatever class that was written for."""
    # `_class_name` stays in: by it diffusers drops the keys that only the other class knows.
    wanted = {**config, **LATENTS, **row.overrides}
    return copy.deepcopy(_unused(row.class_name, _Config(wanted)))


class _Config(dict[str, Any]):
    """A config that is known again by what is in it."""

    def __hash__(self) -> int:  # type: ignore[override]  # nobody changes it
        return hash(repr(self))


@lru_cache(maxsize=32)
def _unused(class_name: str, config: _Config) -> Scheduler:
    """Make a scheduler that is only copied: to read a config takes ten times as long, and each job wants its own."""
    import diffusers

    try:
        scheduler: Scheduler = getattr(diffusers, class_name).from_config(dict(config))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the model's scheduler_config.json cannot be read by {class_name}: {error}; correct it, or take the "
            "scheduler_config.json of the model that this one was trained from"
        ) from error
    return scheduler
