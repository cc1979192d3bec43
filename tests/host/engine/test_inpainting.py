"""Holes: what a filling starts from, what windows cut along, what is kept after every step."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from stretto.host.contracts.plan import Chunking
from stretto.host.engine.conditioning import Conditions
from stretto.host.engine.denoise import denoise
from stretto.host.engine.inpainting import Hole, check_fills
from stretto.host.engine.latents import lay_windows
from stretto.host.engine.schedule import lay_out
from stretto.host.errors import UnsupportedError
from stretto.plugins.schedulers import register_schedulers

SPECS = {spec.name: spec for spec in register_schedulers()}
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


class Silent:
    def predicted(self, call, rows):
        pass

    def stepped(self, call, latents):
        pass


def pointwise(taken, t, *, encoder_hidden_states, return_dict):
    """A network of nine channels that looks at one cell at a time: windows cannot change what it says."""
    assert taken.shape[1] == 9
    return (torch.tanh(taken[:, :4]) * 0.3 + taken[:, 4:5] * 0.2 - taken[:, 5:] * 0.1 + t * 1e-5,)


@pytest.mark.parametrize("scheduler", ["ddim", "eads", "heun", "dpmsm", "pndm"])
def test_windows_cut_what_lies_beside_the_latents(scheduler):
    drawn = {}
    for stride in (0, 24):
        generator = torch.Generator().manual_seed(3)
        schedule = lay_out(SPECS[scheduler].build(CONFIG), 5, generator)
        start = torch.randn(2, 4, 13, 18, generator=generator)
        beside = torch.randn(2, 5, 13, 18, generator=generator)
        mosaic = lay_windows((104, 144), Chunking(size_px=64, stride_px=stride, blur_px=16))
        guides = Conditions(tokens=torch.zeros(2, 3, 5), pooled=None, time_ids=None, guidance=4.0)
        drawn[stride] = denoise(start, pointwise, schedule, guides, replace(mosaic, beside=beside), Silent())
    torch.testing.assert_close(drawn[24], drawn[0], rtol=1e-4, atol=1e-4)


def test_what_must_hold_holds_after_every_call():
    generator = torch.Generator().manual_seed(0)
    calls = []

    def keep(call, latents):
        calls.append(call)
        return latents * 0 + call

    schedule = replace(lay_out(SPECS["ddim"].build(CONFIG), 4, generator), keep=keep)
    mosaic = lay_windows((64, 64), Chunking(size_px=64, stride_px=0, blur_px=0), "cpu")
    guides = Conditions(tokens=torch.zeros(1, 3, 5), pooled=None, time_ids=None, guidance=1.0)

    def unet(taken, t, **_):
        return (taken,)

    clean = denoise(torch.randn(1, 4, 8, 8), unet, schedule, guides, mosaic, Silent())
    assert calls == [0, 1, 2, 3]
    assert (clean == 3).all()


def test_a_cell_is_repainted_if_its_first_pixel_is():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:, 1:] = 1
    mask[..., 9, 9] = 0
    hole = Hole(pixels=torch.ones(1, 3, 16, 16), mask=mask, strength=1.0)
    assert hole.cells()[0, 0].tolist() == [[0, 0], [0, 1]]
    seen = hole.surroundings()
    assert (seen[..., :8, :] == 1).all()
    assert (seen[..., 8:, 1:9] == 0).all()


def test_models_with_other_channels_fill_nothing():
    weight = torch.zeros(1)
    model = SimpleNamespace(
        spec=SimpleNamespace(weights=SimpleNamespace(path="edit.safetensors")),
        vae=SimpleNamespace(
            config=SimpleNamespace(block_out_channels=[1] * 4, latent_channels=4),
            parameters=lambda: iter([weight]),
        ),
        unet=SimpleNamespace(config=SimpleNamespace(in_channels=8), parameters=lambda: iter([weight])),
    )
    with pytest.raises(UnsupportedError, match=r"edit\.safetensors' takes 8 channels; one of 4 or 9"):
        check_fills(model)
