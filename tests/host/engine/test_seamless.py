"""Convolutions and pictures that go on at their other end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.engine.latents import offset
from stretto.host.engine.seamless import resized, seamless, wrapped
from torch import nn

AXES = [(True, True), (True, False), (False, True)]


class Small(nn.Module):
    """Convolutions of every kind that UNets and VAEs have."""

    def __init__(self) -> None:
        super().__init__()
        from diffusers.models.downsampling import Downsample2D

        self.point = nn.Conv2d(2, 4, 1)
        self.near = nn.Conv2d(4, 4, 3, padding=1)
        self.halved = nn.Conv2d(4, 4, 3, padding=1, stride=2)
        self.encoded = Downsample2D(4, use_conv=True, padding=0)

    def forward(self, taken):
        return self.encoded(self.halved(self.near(self.point(taken))))


@pytest.mark.parametrize("tile", AXES)
def test_what_is_rolled_gives_the_same_rolled(tile):
    torch.manual_seed(0)
    network = Small().requires_grad_(False)
    taken = torch.randn(1, 2, 16, 24)
    shift = (8 * tile[1], 8 * tile[0])
    plain = network(taken)
    with seamless((network,), tile):
        one, other = network(taken), network(taken.roll(shift, (-2, -1)))
    torch.testing.assert_close(one.roll((shift[0] // 4, shift[1] // 4), (-2, -1)), other)
    assert not torch.allclose(one, plain)
    assert torch.equal(network(taken), plain)


def test_modules_are_as_before_after_an_error():
    network = Small()
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    with pytest.raises(RuntimeError), seamless((network,), (True, True)):
        network(torch.zeros(1, 3, 8, 8))
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
    assert not network.encoded.conv._forward_pre_hooks


def test_nothing_is_touched_without_an_axis():
    with seamless((object(),), (False, False)):  # type: ignore[arg-type]  # not even looked at
        pass


def test_a_picture_is_laid_round_itself():
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    levels = np.asarray(wrapped(image, (1, 2)))
    assert levels.tolist() == np.pad(np.arange(6).reshape(2, 3), ((2, 2), (1, 1)), mode="wrap").tolist()
    assert wrapped(image, (0, 0)).tobytes() == image.tobytes()


@pytest.mark.parametrize("tile", AXES)
def test_a_picture_is_resized_round_its_border(tile):
    levels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    shift = (8 * tile[1], 12 * tile[0])
    one = resized(Image.fromarray(levels), (36, 24), tile)
    other = resized(Image.fromarray(np.roll(levels, shift, (0, 1))), (36, 24), tile)
    moved = np.roll(np.asarray(one, np.int16), (shift[0] * 3 // 2, shift[1] * 3 // 2), (0, 1))
    assert np.abs(moved - np.asarray(other)).max() <= 1


def test_a_resize_without_an_axis_is_pillows():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8))
    assert resized(image, (24, 16), (True, True)) is image
    plain = image.resize((36, 24), Image.Resampling.LANCZOS)
    assert resized(image, (36, 24), (False, False)).tobytes() == plain.tobytes()


def test_an_offset_is_one_number_a_channel_of_a_picture():
    noise = torch.randn(2, 4, 3, 3)
    generator = torch.Generator().manual_seed(5)
    shifted = offset(noise, 0.1, generator)
    expected = 0.1 * torch.randn((2, 4, 1, 1), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(shifted - noise, expected.expand_as(noise))
    state = generator.get_state()
    assert offset(noise, 0.0, generator) is noise
    assert torch.equal(generator.get_state(), state)
