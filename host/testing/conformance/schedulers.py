"""What a scheduler promises: steps of finite latents from any family's config, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ...contracts.models import Family
from ...contracts.protocols import Scheduler
from ...contracts.specs import SchedulerSpec
from .every_kind import raises_ours, two_objects
from .report import BreachError, Checks
from .supplies import Supplies

if TYPE_CHECKING:
    import torch

    from ...engine.schedule import Schedule

__all__ = ["check_scheduler"]

FAMILIES = (Family.SD1, Family.SD2, Family.SDXL)
STEPS = (1, 2, 3, 5, 20)
LATENTS = (2, 4, 8, 8)  # (batch, channels, h/8, w/8)
ATTRIBUTES = ("config", "init_noise_sigma", "order")
METHODS = ("set_timesteps", "scale_model_input", "add_noise", "step")


def check_scheduler(spec: SchedulerSpec, checks: Checks, supplies: Supplies) -> None:
    """Check the protocol, then loops with a stand-in for the network, then one with the starter's."""
    config = checks.run("a model's config is read", partial(supplies.scheduler_config, Family.SD1))
    if config is None:
        return
    if checks.run("build twice gives two objects", partial(_built, spec, config)) is None:
        return
    if checks.run("it has the scheduler's protocol", partial(_check_protocol, spec, config)) is None:
        return
    checks.run("its calls make up the steps asked for", partial(_check_steps, spec, config))
    checks.run("it adds noise by timestep", partial(_check_noise, spec, config))
    checks.run("the same seed gives the same latents", partial(_check_seed, spec, config))
    checks.run("it begins part way", partial(_check_part, spec, config))
    for family in FAMILIES:
        told = supplies.scheduler_config(family)
        checks.run(f"it runs on the CPU from a config of {family}", partial(_check_finite, spec, told))
    checks.run("it draws with the starter", partial(_check_starter, spec, supplies))
    checks.run("errors are ours", partial(_check_errors, spec, config))


def _built(spec: SchedulerSpec, config: Mapping[str, Any]) -> Scheduler:
    before = dict(config)
    made = two_objects(partial(spec.build, config))
    if dict(config) != before:
        raise BreachError("`build` changed the model's config; copy it before you change it")
    other = spec.build(config)
    made.set_timesteps(3)
    kept = made.timesteps.clone()
    other.set_timesteps(7)
    if made.timesteps.shape != kept.shape or not bool((made.timesteps == kept).all()):
        raise BreachError("two that were built share their timesteps; keep them in the object")
    return made


def _check_protocol(spec: SchedulerSpec, config: Mapping[str, Any]) -> bool:
    import torch

    made = spec.build(config)
    lacking = [name for name in ATTRIBUTES if not hasattr(made, name)]
    lacking += [f"{name}()" for name in METHODS if not callable(getattr(made, name, None))]
    if lacking:
        raise BreachError(f"it has no {', '.join(lacking)}; see stretto.host.Scheduler")
    if not isinstance(made.order, int) or made.order < 1:
        raise BreachError(
            f"`order` is {made.order!r}; it is how many calls of the network one step takes, at least 1"
        )
    for steps in STEPS:
        made.set_timesteps(steps, device="cpu")
        moments = made.timesteps
        if not isinstance(moments, torch.Tensor) or moments.ndim != 1:
            raise BreachError(f"after set_timesteps({steps}) `timesteps` is no tensor of one axis")
        if len(moments) < steps or not bool(torch.isfinite(moments.float()).all()):
            raise BreachError(
                f"set_timesteps({steps}) lays out {moments.tolist()}; lay out a number for each step"
            )
    return True


def _check_steps(spec: SchedulerSpec, config: Mapping[str, Any]) -> None:
    for steps in STEPS:
        schedule = _laid_out(spec, config, steps=steps)
        calls = len(schedule.timesteps)
        counted = sum(schedule.completes(call) for call in range(calls))
        if counted != steps:
            raise BreachError(
                f"of {steps} steps its {calls} timesteps complete {counted}, with order {schedule.scheduler.order}; "
                "progress would not end: lay out `order` timesteps a step, the last step's may be fewer"
            )


def _check_noise(spec: SchedulerSpec, config: Mapping[str, Any]) -> None:
    import torch

    clean = torch.zeros(LATENTS)
    drawn = torch.randn(LATENTS, generator=torch.Generator().manual_seed(0))
    spread = []
    for place in (0, -1):
        scheduler = spec.build(config)
        scheduler.set_timesteps(5, device="cpu")
        moment = scheduler.timesteps[place]
        noisy = scheduler.add_noise(clean, drawn, moment.repeat(len(clean)))
        if noisy.shape != clean.shape or not bool(torch.isfinite(noisy).all()):
            raise BreachError(
                f"add_noise at {moment.item()} gives {tuple(noisy.shape)} of which not all are finite; it must "
                f"give {LATENTS}"
            )
        spread.append(float(noisy.std()))
    if not spread[0] > spread[1]:
        raise BreachError(
            f"add_noise adds as much at the last timestep ({spread[1]:.3f}) as at the first ({spread[0]:.3f}); "
            "the first one has the most noise"
        )


def _check_seed(spec: SchedulerSpec, config: Mapping[str, Any]) -> None:
    import torch

    runs = []
    with torch.random.fork_rng(devices=[]):
        for others in (1, 2):  # what other work draws from torch's own generator must not matter
            torch.manual_seed(others)
            runs.append(_denoised(spec, config, seed=7))
        other = _denoised(spec, config, seed=8)
    if not torch.equal(runs[0], runs[1]):
        raise BreachError(
            "two runs with seed 7 differ; draw noise from the `generator` that `step` is given, or name in "
            "`seed_key` the key of the config that takes the seed"
        )
    if torch.equal(runs[0], other):
        raise BreachError("runs with the seeds 7 and 8 are equal; what it gives must come of the latents")


def _check_part(spec: SchedulerSpec, config: Mapping[str, Any]) -> None:
    import torch

    latents = _denoised(spec, config, seed=3, strength=0.5)
    if latents.shape != torch.Size(LATENTS) or not bool(torch.isfinite(latents).all()):
        raise BreachError(
            "begun at the second half of 6 steps, as a picture is with strength 0.5, latents are not finite; "
            "find the place of the first `step` by its timestep, or offer set_begin_index"
        )


def _check_finite(spec: SchedulerSpec, config: Mapping[str, Any]) -> None:
    import torch

    for steps in STEPS:
        latents = _denoised(spec, config, seed=0, steps=steps)
        if latents.shape != torch.Size(LATENTS) or latents.dtype != torch.float32:
            raise BreachError(
                f"after {steps} steps latents are {latents.dtype}, {tuple(latents.shape)}; they were float32, {LATENTS}"
            )
        if not bool(torch.isfinite(latents).all()):
            raise BreachError(
                f"after {steps} steps latents are not finite; a scheduler divides by its last sigma?"
            )


def _check_starter(spec: SchedulerSpec, supplies: Supplies) -> None:
    import torch

    from ...engine.images import to_images
    from ...engine.latents import decode

    model = supplies.starter()
    tokens = torch.zeros((1, 77, model.unet.config.cross_attention_dim))

    @torch.inference_mode()
    def network(latents: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
        predicted: torch.Tensor = model.unet(
            latents, moment, encoder_hidden_states=tokens.expand(len(latents), -1, -1), return_dict=False
        )[0]
        return predicted

    latents = _denoised(spec, model.scheduler_config, seed=5, steps=4, network=network)
    (drawn, *_) = to_images(decode(model.vae, latents))
    if drawn.convert("L").getextrema() in ((0, 0), (255, 255)):
        raise BreachError("four steps with the starter end in a blank picture")


def _check_errors(spec: SchedulerSpec, config: Mapping[str, Any]) -> None:
    wrong = {**config, "beta_schedule": "no such schedule"}
    raises_ours(partial(_denoised, spec, wrong, seed=0), "a config with beta_schedule 'no such schedule'")


def _laid_out(
    spec: SchedulerSpec,
    config: Mapping[str, Any],
    *,
    steps: int,
    seed: int = 0,
    strength: float | None = None,
) -> Schedule:
    """Lay out as `host/steps/diffuse.py` does."""
    import torch

    from ...engine.schedule import lay_out

    seeded = {spec.seed_key: seed} if spec.seed_key else {}
    generator = torch.Generator("cpu").manual_seed(seed)
    scheduler = spec.build({**config, **seeded})
    return lay_out(scheduler, steps, generator, strength, on_cpu=spec.seed_key is not None)


def _half(latents: torch.Tensor, _moment: torch.Tensor) -> torch.Tensor:
    """Stand in for a network: predict half of what it is given."""
    return latents * 0.5


def _denoised(
    spec: SchedulerSpec,
    config: Mapping[str, Any],
    *,
    seed: int,
    steps: int = 6,
    strength: float | None = None,
    network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = _half,
) -> torch.Tensor:
    import torch

    schedule = _laid_out(spec, config, steps=steps, seed=seed, strength=strength)
    drawn = torch.randn(LATENTS, generator=torch.Generator().manual_seed(seed))
    if strength is None:
        latents = drawn * schedule.scheduler.init_noise_sigma
    else:
        latents = schedule.start(torch.zeros(LATENTS), drawn)
    for moment in schedule.timesteps:
        taken = schedule.scheduler.scale_model_input(latents, moment)
        latents = schedule.step(network(taken, moment), moment, latents)
    return latents
