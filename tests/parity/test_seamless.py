"""Pictures that go on at their other end, and offset noise: the same changes made in diffusers' own pipelines."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from .conftest import difference

AXES = [(True, True), (True, False), (False, True)]


@contextmanager
def circular(pipe, tile):
    """Pad each convolution of UNet and VAE as torch's own `padding_mode` "circular" does, axis by axis."""
    kept = nn.Conv2d._conv_forward
    pad = functional.pad

    def forward(self, taken, weight, bias):
        high, wide = self.padding
        taken = pad(taken, (wide, wide, 0, 0), mode="circular" if tile[0] and wide else "constant")
        taken = pad(taken, (0, 0, high, high), mode="circular" if tile[1] and high else "constant")
        return functional.conv2d(taken, weight, bias, self.stride, 0, self.dilation, self.groups)

    def shrink(self, taken, *_, **__):  # diffusers' own line is pad(taken, (0, 1, 0, 1), mode="constant")
        taken = pad(taken, (0, 1, 0, 0), mode="circular" if tile[0] else "constant")
        return self.conv(pad(taken, (0, 0, 0, 1), mode="circular" if tile[1] else "constant"))

    from diffusers.models.downsampling import Downsample2D

    shrinking = Downsample2D.forward
    try:
        nn.Conv2d._conv_forward = forward
        Downsample2D.forward = lambda self, *taken, **more: (
            shrink(self, *taken) if self.padding == 0 else shrinking(self, *taken, **more)
        )
        yield
    finally:
        nn.Conv2d._conv_forward, Downsample2D.forward = kept, shrinking


@pytest.mark.parametrize("tile", AXES)
@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl"])
def test_text_to_image(pairs, model, tile):
    pair = pairs(model)
    ours = pair.ours.draw(tile=tile)
    plain = pair.theirs.draw()
    with circular(pair.theirs.from_text, tile):
        theirs = pair.theirs.draw()
    assert difference(ours, theirs) <= 1
    assert difference(ours, plain) > 10


@pytest.mark.parametrize("tile", AXES)
def test_image_to_image(pairs, picture, tile):
    pair = pairs("tiny_sd1")
    ours = pair.ours.draw(tile=tile, image=picture.ref, strength=0.5)
    with circular(pair.theirs.from_image, tile):
        theirs = pair.theirs.draw(image=picture.image, strength=0.5)
    assert difference(ours, theirs) <= 1


def test_the_networks_are_as_before(pairs):
    pair = pairs("tiny_sd1")
    before = pair.ours.draw()
    pair.ours.draw(tile=(True, True))
    assert difference(pair.ours.draw(), before) == 0


@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl"])
def test_noise_with_an_offset(pairs, model):
    pair = pairs(model)
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn((2, 4, 8, 8), generator=generator)
    latents = latents + 0.3 * torch.randn((2, 4, 1, 1), generator=generator)
    theirs = pair.theirs.draw(latents=latents, num_images_per_prompt=2)
    assert difference(pair.ours.draw(noise_offset=0.3, samples=2), theirs) <= 1
    assert difference(pair.ours.draw(samples=2), theirs) > 10


def test_no_offset_draws_nothing(pairs):
    """A scheduler that draws noise of its own goes on from the same place of the generator."""
    ours = pairs("tiny_sd1").ours
    assert difference(ours.draw(noise_offset=0.0, scheduler="eads"), ours.draw(scheduler="eads")) == 0


def joins(images, axis):
    """Give how much pictures change over their border, against what they change at cells' borders inside.

    0 joins top and bottom, 1 left and right. Cells are 8 px, as the border is one of theirs.
    """
    border, inside = [], []
    for image in images:
        levels = np.moveaxis(np.asarray(image, dtype=np.float64), axis, 0)
        steps = np.abs(levels - np.roll(levels, 1, axis=0)).mean(axis=(1, 2))
        border.append(steps[0])
        inside.append(steps[8::8].mean())
    return np.mean(border) / np.mean(inside)


@pytest.mark.parametrize(
    "shape",
    [
        {"width": 64, "height": 64, "steps": 8, "prompt": "a red square above a blue circle"},
        {"width": 192, "height": 144, "chunking_size": 64, "chunking_blur": 64, "prompt": "a sunset"},
    ],
    ids=["one window", "many windows"],
)
def test_opposite_borders_join_as_smoothly_as_the_inside(pairs, shape):
    """Asked of the trained model: 25 % more than inside is allowed, and without tile it is 60 % more at least."""
    ours = pairs("starter_path").ours
    asked = {"size": 128, "steps": 6, "guidance": 7.0, **shape}
    for tile in ((False, False), (True, False), (True, True)):
        images = [ours.draw(seed=seed, tile=tile, **asked)[0] for seed in range(3)]
        for axis, wraps in ((1, tile[0]), (0, tile[1])):
            found = joins(images, axis)
            assert found <= 1.25 if wraps else found >= 1.6, (tile, axis, found)


def test_a_vae_in_tiles_goes_on_at_the_other_end_too(pairs, monkeypatch):
    from stretto.host.engine import latents

    ours = pairs("starter_path").ours
    asked = {"width": 256, "height": 128, "size": 128, "chunking_size": 64, "chunking_blur": 64, "steps": 6}
    whole = ours.draw(tile=(True, True), prompt="a sunset", **asked)
    monkeypatch.setitem(latents._VAE_LIMIT_PX, "cpu", 128 * 128)
    monkeypatch.setattr(latents, "_TILE_PX", 192)
    tiled = ours.draw(tile=(True, True), prompt="a sunset", **asked)
    assert difference(tiled, whole) > 0
    assert joins(tiled, 1) <= 1.25
    assert joins(tiled, 0) <= 1.25
