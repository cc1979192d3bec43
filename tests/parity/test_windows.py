"""Windows over a canvas: one is a plain pipeline, many show no seams, every scheduler works over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stretto.host.contracts.plan import Chunking
from stretto.host.engine.conditioning import Conditions
from stretto.host.engine.denoise import denoise
from stretto.host.engine.latents import lay_windows
from stretto.host.engine.schedule import lay_out
from stretto.host.geometry import windows
from stretto.plugins.schedulers import register_schedulers

from .conftest import difference

SPECS = {spec.name: spec for spec in register_schedulers()}
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


class Silent:
    def predicted(self, call, rows):
        pass

    def stepped(self, call, latents):
        pass


@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl"])
def test_one_window_is_the_plain_pipeline(pairs, model):
    pair = pairs(model)
    plain = pair.theirs.draw()
    for chunking in (
        {"chunking_size": 0},
        {"chunking_size": 32, "size": 64},
        {"chunking_size": 32, "size": 512},
    ):
        assert difference(pair.ours.draw(chunking_blur=32, **chunking), plain) <= 1


def pointwise(taken, t, *, encoder_hidden_states, return_dict):
    """A network that looks at one cell at a time, so that windows cannot change what it says."""
    assert len(taken) == len(encoder_hidden_states)
    return (torch.tanh(taken) * 0.3 + encoder_hidden_states.mean() + t * 1e-5,)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("strength", [None, 0.5])
def test_every_scheduler_steps_once_over_blended_windows(name, strength):
    spec = SPECS[name]
    drawn = {}
    for stride in (0, 24):
        generator = torch.Generator().manual_seed(3)
        config = {**CONFIG, **({spec.seed_key: 3} if spec.seed_key else {})}
        schedule = lay_out(spec.build(config), 6, generator, strength)
        start = torch.randn(2, 4, 13, 18, generator=generator)
        mosaic = lay_windows((104, 144), Chunking(size_px=64, stride_px=stride, blur_px=16))
        guides = Conditions(tokens=torch.randn(2, 3, 5) * 0, pooled=None, time_ids=None, guidance=4.0)
        drawn[stride] = denoise(start, pointwise, schedule, guides, mosaic, Silent())
    assert torch.isfinite(drawn[0]).all()
    torch.testing.assert_close(drawn[24], drawn[0], rtol=1e-4, atol=1e-4)


def jumps(image, axis):
    """Give the mean step between neighbouring rows (axis 0) or columns (axis 1), one a border."""
    levels = np.asarray(image, dtype=np.float64)
    return np.abs(np.diff(levels, axis=axis)).mean(axis=(1 - axis, 2))


def at_borders(images, axis, cells, borders):
    """Give how much more pictures change at the borders of windows than at cells' borders beside them.

    Cells are 8 px, and a decoder's steps between cells are larger than those within them; objects
    make their own steps anywhere. So each border is compared with the two cell borders on each side.
    """
    steps = np.mean([jumps(image, axis) for image in images], axis=0)[7::8]
    beside = [[near for near in (e - 2, e - 1, e + 1, e + 2) if 0 < near < cells] for e in borders]
    local = [np.mean([steps[near - 1] for near in nears if near not in borders]) for nears in beside]
    return np.mean([steps[e - 1] for e in borders]) / np.mean(local)


@pytest.mark.parametrize("scheduler", ["ddim", "eads", "dpmsm"])
def test_many_windows_show_no_seam(pairs, scheduler):
    """Half of each window overlaps the next; at its borders nothing changes faster, 20 % allowed.

    Asked of a trained model: the pictures of random ones are noise, which hides any seam.
    """
    ours = pairs("starter_path").ours
    images = [
        ours.draw(
            width=320, height=256, size=128, chunking_size=64, chunking_blur=64,
            scheduler=scheduler, seed=seed, steps=6,
        )[0]
        for seed in range(2)
    ]  # fmt: skip
    laid = windows(32, 40, 16, 8)
    assert len(laid) == 12
    for axis, starts, cells in ((0, {w.top for w in laid}, 32), (1, {w.left for w in laid}, 40)):
        borders = {e for start in starts for e in (start, start + 16) if 0 < e < cells}
        assert at_borders(images, axis, cells, borders) <= 1.2


def test_the_measure_sees_a_seam(pairs):
    """Pictures that were drawn each for itself do show where one ends and the next begins."""
    ours = pairs("starter_path").ours
    images = [np.asarray(ours.draw(width=128, height=128, size=128, seed=seed)[0]) for seed in range(8)]
    pasted = [np.concatenate([one, two], axis=1) for one, two in zip(images[::2], images[1::2], strict=True)]
    assert at_borders(pasted, 1, 32, {16}) > 2


@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl", "starter_path"])
def test_windows_and_samples_together(pairs, model):
    """What is drawn in a batch of samples is what is drawn alone from the same noise."""
    ours = pairs(model).ours
    shape = {"width": 128, "height": 96, "size": 64, "chunking_size": 32, "chunking_blur": 16}
    several = ours.draw(samples=2, **shape)
    assert difference(several[:1], ours.draw(samples=1, **shape)) <= 1
    assert difference(several[:1], several[1:]) > 10


def test_another_scheduler_may_draw_in_windows(pairs):
    ours = pairs("tiny_sd1").ours
    shape = {"width": 128, "height": 64, "size": 64, "chunking_blur": 16}
    asked = ours.draw(scheduler="ddim", multi_scheduler="eads", chunking_size=32, **shape)
    assert difference(asked, ours.draw(scheduler="eads", chunking_size=32, **shape)) == 0
    one = ours.draw(scheduler="ddim", multi_scheduler="eads", chunking_size=0, **shape)
    assert difference(one, ours.draw(scheduler="ddim", chunking_size=0, **shape)) == 0
