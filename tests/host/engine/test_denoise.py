"""The loop: guidance, and what it reports."""

from __future__ import annotations

import pytest
import torch
from stretto.host.contracts.plan import Chunking
from stretto.host.engine.conditioning import Conditions
from stretto.host.engine.denoise import denoise, guide
from stretto.host.engine.latents import lay_windows
from stretto.host.engine.schedule import lay_out
from stretto.plugins.schedulers import register_schedulers

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def says_the_prompt(taken, t, *, encoder_hidden_states, return_dict):
    """Predict, everywhere, the first number of a row's embedding."""
    return (encoder_hidden_states[:, 0, 0].view(-1, 1, 1, 1).expand_as(taken).clone(),)


def guides(*numbers: float, guidance: float = 3.0, dtype: torch.dtype = torch.float32) -> Conditions:
    tokens = torch.tensor(numbers, dtype=dtype).view(-1, 1, 1)
    return Conditions(tokens=tokens, pooled=None, time_ids=None, guidance=guidance)


def test_guidance_goes_away_from_the_negative_prompt():
    rows = torch.zeros(3, 4, 2, 2)
    guided = guide(says_the_prompt, rows, torch.tensor(1), guides(1.0, 2.0))
    assert guided.shape == rows.shape
    assert float(guided.min()) == float(guided.max()) == 1.0 + 3.0 * (2.0 - 1.0)


def test_without_a_negative_half_the_prediction_is_taken_as_it_is():
    guided = guide(says_the_prompt, torch.zeros(3, 4, 2, 2), torch.tensor(1), guides(2.0))
    assert float(guided.mean()) == 2.0


def test_the_network_gets_its_own_type_and_the_scheduler_float32():
    seen = []

    def network(taken, t, *, encoder_hidden_states, return_dict):
        seen.append(taken.dtype)
        return (taken,)

    guided = guide(network, torch.zeros(1, 4, 2, 2), torch.tensor(1), guides(1.0, 2.0, dtype=torch.bfloat16))
    assert seen == [torch.bfloat16]
    assert guided.dtype == torch.float32


class Listener:
    def __init__(self, stop_at: int = 99) -> None:
        self.rows, self.steps, self.stop_at = [], [], stop_at

    def predicted(self, call, rows):
        self.rows.append((call, rows))

    def stepped(self, call, latents):
        assert len(latents) == 2
        self.steps.append(call)
        if call == self.stop_at:
            raise InterruptedError


def run(listener: Listener, network=says_the_prompt) -> torch.Tensor:
    scheduler = next(spec for spec in register_schedulers() if spec.name == "ddim").build(CONFIG)
    schedule = lay_out(scheduler, 4, torch.Generator())
    mosaic = lay_windows((64, 96), Chunking(size_px=64, stride_px=32, blur_px=8))
    return denoise(torch.ones(2, 4, 8, 12), network, schedule, guides(0.0, 0.1), mosaic, listener)


def test_every_row_and_every_step_is_reported():
    listener = Listener()
    assert run(listener).shape == (2, 4, 8, 12)
    assert listener.rows == [(call, 4) for call in range(4)]  # two windows of two samples
    assert listener.steps == [0, 1, 2, 3]


def test_a_listener_that_raises_ends_the_loop():
    listener = Listener(stop_at=1)
    with pytest.raises(InterruptedError):
        run(listener)
    assert listener.steps == [0, 1]


def test_no_gradients_are_kept():
    weight = torch.nn.Parameter(torch.ones(()))

    def network(taken, t, *, encoder_hidden_states, return_dict):
        return (taken * weight,)

    assert not run(Listener(), network).requires_grad
