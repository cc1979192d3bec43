# ruff: noqa: ARG002, ARG005 - stand-ins take what protocols give them
from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from stretto.host import SchedulerSpec


class Endless(DDIMScheduler):
    def step(self, model_output, timestep, sample, **options):
        return (sample / 0.0,)


class Doubled(DDIMScheduler):
    order = 2


class Gambler(DDIMScheduler):
    def step(self, model_output, timestep, sample, **options):
        return (sample + torch.randn(sample.shape),)


class Flat(DDIMScheduler):
    def add_noise(self, original_samples, noise, timesteps):
        return noise


def spec_of(kind, **options):
    def build(config):
        return kind.from_config({**config, **options})

    return SchedulerSpec(name="mine", build=build)


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Endless, "it runs on the CPU from a config of sd1", "after 1 steps latents are not finite"),
        (Endless, "it begins part way", "are not finite"),
        (Doubled, "its calls make up the steps asked for", "complete"),
        (Gambler, "the same seed gives the same latents", "draw noise from the `generator`"),
        (Flat, "it adds noise by timestep", "the first one has the most noise"),
    ],
)
def test_a_broken_promise_is_said(kind, check, words, breaches):
    assert words in breaches(spec_of(kind))[check]


def test_a_protocol_that_is_not_whole_is_said(breaches):
    class Half:
        config = None
        timesteps = torch.zeros(1)

        def set_timesteps(self, steps, device=None):
            self.timesteps = torch.arange(steps).flip(0)

    found = breaches(SchedulerSpec(name="mine", build=lambda config: Half()))
    assert (
        "it has no init_noise_sigma, order, scale_model_input(), add_noise(), step()"
        in found["it has the scheduler's protocol"]
    )


def test_a_config_that_is_changed_is_said(breaches):
    def build(config):
        config["beta_start"] = 0.5
        return DDIMScheduler.from_config(config)

    assert (
        "changed the model's config"
        in breaches(SchedulerSpec(name="mine", build=build))["build twice gives two objects"]
    )


def test_a_foreign_error_is_said(breaches):
    found = breaches(spec_of(DDIMScheduler, clip_sample=False))
    assert list(found) == ["importing it pulls in no torch", "errors are ours"]  # this file imports torch
    assert "raise one of stretto.host" in found["errors are ours"]
