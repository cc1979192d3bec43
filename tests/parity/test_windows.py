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


@pytest.mark.parametrize(
    ("model", "scheduler"),
    [
        ("tiny_sd1", "ddim"),
        ("tiny_sd2", "eads"),
        ("tiny_sdxl", "dpmsm"),
        ("starter_path", "ddim"),
        ("starter_path", "eads"),
    ],
)
def test_many_windows_show_no_seam(pairs, model, scheduler):
    """Rows and columns at the borders of windows change no more than all others do, 15 % allowed.

    Cells are 8 px, and a decoder's own steps between cells are larger than those within them, so
    borders of windows are compared with the borders of all other cells.
    """
    ours = pairs(model).ours
    images = [
        ours.draw(
            width=192, height=160, size=64, chunking_size=32, chunking_blur=32,
            scheduler=scheduler, seed=seed, steps=5,
        )[0]
        for seed in range(2)
    ]  # fmt: skip
    laid = windows(20, 24, 8, 4)
    assert len(laid) == 20
    for axis, starts, length in ((0, {w.top for w in laid}, 20), (1, {w.left for w in laid}, 24)):
        edges = {e for s in starts for e in (s, s + 8) if 0 < e < length}
        others = set(range(1, length)) - edges
        steps = np.mean([jumps(image, axis) for image in images], axis=0)
        at_edges = np.mean([steps[8 * e - 1] for e in edges])
        elsewhere = np.mean([steps[8 * e - 1] for e in others])
        assert at_edges <= 1.15 * elsewhere


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
