"""Timesteps, where an image begins, and which calls count as progress."""

from __future__ import annotations

import pytest
import torch
from stretto.host.engine.schedule import lay_out
from stretto.host.errors import EngineError
from stretto.plugins.schedulers import register_schedulers

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SPECS = {spec.name: spec for spec in register_schedulers()}


def laid(name: str, steps: int, strength: float | None = None):
    return lay_out(SPECS[name].build(CONFIG), steps, torch.Generator().manual_seed(0), strength)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("strength", [None, 1.0, 0.61, 0.25, 0.0])
def test_exactly_the_asked_steps_count_whatever_the_scheduler(name, strength):
    schedule = laid(name, 11, strength)
    expected = 11 if strength is None else int(11 * strength)
    assert schedule.steps == expected
    assert sum(schedule.completes(call) for call in range(len(schedule.timesteps))) == expected


@pytest.mark.parametrize("name", ["heun", "dpmd", "adpmd", "dpmsde"])
def test_second_order_schedulers_call_the_unet_twice_a_step_but_once(name):
    assert len(laid(name, 10).timesteps) == 19


@pytest.mark.parametrize(
    ("name", "takes"), [("ddim", True), ("eads", True), ("unipc", False), ("pndm", False)]
)
def test_the_generator_goes_to_those_that_draw(name, takes):
    assert ("generator" in laid(name, 4).options) is takes


def test_strength_nothing_leaves_latents_alone():
    schedule = laid("pndm", 4, 0.0)
    latents = torch.ones(1, 4, 2, 2)
    assert schedule.start(latents, torch.randn(1, 4, 2, 2)) is latents


def test_timesteps_stay_on_the_cpu():
    assert laid("eds", 3).timesteps.device.type == "cpu"


def test_a_scheduler_that_draws_by_itself_does_so_on_the_cpu():
    class Watching:
        order = 1
        timesteps = torch.tensor([1])
        devices = ()

        def set_timesteps(self, steps, device):
            pass

        def step(self, noise, _, latents, **__):
            self.devices = (noise.device.type, latents.device.type)
            return (torch.zeros(1),)

    watching = Watching()
    schedule = lay_out(watching, 1, torch.Generator(), on_cpu=True)
    meta = torch.empty(1, device="meta")
    with pytest.raises(NotImplementedError):  # nothing comes back from there, so it was asked to
        schedule.step(meta, torch.tensor(1), meta)
    plain = lay_out(watching, 1, torch.Generator())
    assert plain.step(meta, torch.tensor(1), meta).device.type == "meta"
    assert watching.devices == ("meta", "meta")


TABLED = ("ddim", "ddpm", "pndm")  # look noise levels up; the others have levels between those of the table


@pytest.mark.parametrize("name", SPECS)
def test_the_largest_numbers_of_steps_are_drawn(name):
    latents = torch.zeros(1, 4, 2, 2)
    schedule = laid(name, 999 if name in TABLED else 1000)
    first = schedule.timesteps[0]
    taken = schedule.scheduler.scale_model_input(latents, first)
    assert schedule.step(taken, first, latents).shape == latents.shape


@pytest.mark.parametrize("name", TABLED)
def test_more_steps_than_levels_are_refused_in_words(name):
    with pytest.raises(EngineError, match="num_inference_steps: 1000 are more"):
        laid(name, 1000)
