"""Convolutions as matrix products: the same numbers, where few pixels come out."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from stretto.host.engine import convolution
from stretto.host.engine.convolution import FEW_ROWS, Convolution, laid_out, read_in_place
from torch import nn

KINDS = {
    "plain": {"kernel_size": 3, "padding": 1},
    "pointwise": {"kernel_size": 1},
    "halving": {"kernel_size": 3, "stride": 2, "padding": 1},
    "padded beforehand": {"kernel_size": 3, "stride": 2},
    "oblong": {"kernel_size": (3, 1), "padding": (1, 0), "stride": (1, 2)},
    "without bias": {"kernel_size": 3, "padding": 1, "bias": False},
    "patches": {"kernel_size": 4, "stride": 4},
}


def pair(dtype=torch.float32, **how):
    torch.manual_seed(3)
    plain = nn.Conv2d(24, 40, **how).to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)
    ours = copy.deepcopy(plain)
    read_in_place(ours)
    assert type(ours) is Convolution
    return plain, ours


@pytest.fixture
def products(monkeypatch):
    """Count the matrix products."""
    made = []
    kept = convolution.functional.linear
    monkeypatch.setattr(convolution.functional, "linear", lambda *given: made.append(given) or kept(*given))
    return made


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_the_same(kind, order, products):
    plain, ours = pair(**KINDS[kind])
    for batch, (height, width) in itertools.product((1, 2), ((8, 8), (5, 7), (4, 4))):
        taken = torch.randn(batch, 24, height, width).to(memory_format=order)
        expected = plain(taken)
        products.clear()
        given = ours(taken)
        assert len(products) == (expected[:, 0].numel() <= FEW_ROWS) == 1
        assert given.shape == expected.shape
        assert (given - expected).abs().max() < 1e-5
        assert given.is_contiguous(memory_format=torch.channels_last)


SMALL = ((1, 1), (1, 6), (6, 1), (2, 2), (1, 2), (2, 1), (3, 1))


@pytest.mark.parametrize("how", [{"stride": 1}, {"stride": 2}, {"stride": (1, 2)}, {"padding": 2}])
@pytest.mark.parametrize("kernel", [3, 5, (3, 1)])
def test_pictures_of_few_pixels_are_read_by_the_taps_that_see_them(kernel, how, products):
    plain, ours = pair(**{"kernel_size": kernel, "padding": (1, 1), **how})
    for height, width in SMALL:
        taken = torch.randn(2, 24, height, width)
        try:
            expected = plain(taken)
        except RuntimeError:  # smaller than the kernel with its padding
            with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
                ours(taken)
            continue
        assert (ours(taken) - expected).abs().max() < 1e-5
        assert products.pop()[1].shape[1] <= plain.weight[0].numel()


@pytest.mark.parametrize(("size", "taps"), [((1, 1), 1), ((1, 5), 3), ((5, 1), 9), ((2, 2), 9)])
def test_weights_that_see_only_the_border_are_not_read(size, taps, products):
    _, ours = pair(**KINDS["plain"])
    ours(torch.randn(1, 24, *size))
    assert products[0][1].shape == (40, taps * 24)
    assert products[0][1].data_ptr() - ours.weight.data_ptr() in {
        0,
        4 * 24 * 3,
        4 * 24 * 4,
    }  # a view: no copy


def test_bfloat16_rounds_as_before():
    plain, ours = pair(torch.bfloat16, **KINDS["plain"])
    taken = torch.randn(2, 24, 4, 4).to(torch.bfloat16)
    exact = plain.float()(taken.float())
    assert (ours(taken).float() - exact).abs().max() <= exact.abs().max() * 2**-8


def test_many_pixels_are_convolved(products):
    plain, ours = pair(**KINDS["plain"])
    taken = torch.randn(1, 24, 16, 9).to(memory_format=torch.channels_last)
    assert torch.equal(ours(taken), plain(taken))
    assert not products


def test_a_weight_that_is_changed_is_the_one_that_counts():
    plain, ours = pair(**KINDS["plain"])
    taken = torch.randn(1, 24, 4, 4)
    ours(taken)
    for layer in (plain, ours):
        layer.weight.data = layer.weight.data.contiguous() * 2  # in another order in memory, too
    assert (ours(taken) - plain(taken)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3, groups=4),
        nn.Conv2d(8, 8, 3, dilation=2),
        nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose2d(8, 8, 3),
    ],
)
def test_other_kinds_stay_what_they_are(layer):
    kind = type(layer)
    read_in_place(layer)
    assert type(layer) is kind


def test_an_exporter_sees_a_convolution_of_any_size():
    _, ours = pair(**KINDS["plain"])
    side = torch.export.Dim("side", min=4, max=64)
    exported = torch.export.export(ours, (torch.randn(1, 24, 6, 6),), dynamic_shapes=({2: side, 3: side},))
    targets = [str(node.target) for node in exported.graph.nodes]
    assert [name for name in targets if "conv2d" in name] == ["aten.conv2d.default"]
    assert not [name for name in targets if "linear" in name]


def test_names_and_weights_stay(tiny_sd1):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet")
    before = {name: value.data_ptr() for name, value in unet.state_dict().items()}
    read_in_place(unet)
    assert {name: value.data_ptr() for name, value in unet.state_dict().items()} == before
    assert isinstance(unet.conv_in, Convolution)


def test_borders_are_kept_and_hold_nothing_of_what_was_there(monkeypatch):
    plain, ours = pair(**KINDS["plain"])
    for _ in range(2):
        for size in ((2, 24, 4, 4), (1, 24, 4, 4), (2, 24, 3, 5)):
            taken = torch.randn(size)
            with torch.inference_mode():
                first = ours(taken)
            assert (first - plain(taken)).abs().max() < 1e-5
            assert (ours(-taken) - plain(-taken)).abs().max() < 1e-5
            assert (ours(taken) - first).abs().max() == 0
    assert len(ours.borders._kept) == 3
    assert not copy.deepcopy(ours).borders._kept
    monkeypatch.setattr(convolution, "_SIZES", 3)
    ours(torch.randn(1, 24, 2, 3))
    assert len(ours.borders._kept) == 1


def test_layers_of_one_network_share_borders():
    network = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1, stride=stride) for stride in (1, 1, 2)))
    network.requires_grad_(False)
    expected = copy.deepcopy(network)
    read_in_place(network)
    taken = torch.randn(1, 8, 6, 6)
    assert (network(taken) - expected(taken)).abs().max() < 1e-5
    assert len(network[0].borders._kept) == 2
    assert network[0].borders is network[2].borders


def test_a_layout_is_kept_while_weights_stay_and_is_no_copy():
    plain, ours = pair(**KINDS["plain"])
    network = nn.Sequential(ours).to(memory_format=torch.channels_last)
    taken, weight = torch.randn(2, 24, 4, 4), ours.weight
    with torch.inference_mode(), laid_out(network):
        first = network(taken)
        (laid,) = ours.borders._laid.values()
        assert laid.taps.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()
        assert torch.equal(network(taken), first)
        other = torch.randn_like(weight, memory_format=torch.channels_last)
        expected = plain._conv_forward(taken, other, ours.bias)
        assert (ours._conv_forward(taken, other, ours.bias) - expected).abs().max() < 1e-4
        network(torch.randn(1, 24, 1, 1))
        assert len(ours.borders._laid) == 3
        with laid_out(network):  # of which nothing is let go within
            pass
        assert len(ours.borders._laid) == 3
    assert not ours.borders._laid
    with torch.inference_mode():
        network(taken)
    assert not ours.borders._laid


@pytest.mark.parametrize("in_place", [True, False])
def test_a_weight_may_change_while_its_layout_is_kept(in_place):
    plain, ours = pair(**KINDS["plain"])
    ours.to(memory_format=torch.channels_last)
    taken = torch.randn(2, 24, 4, 4)
    changed = torch.randn_like(ours.weight, memory_format=torch.channels_last)
    with torch.inference_mode(), laid_out(nn.Sequential(ours)):
        ours(taken)
        if in_place:
            ours.weight.data.copy_(changed)
        else:
            ours.weight.data = changed
        expected = plain._conv_forward(taken, changed, ours.bias)
        assert (ours(taken) - expected).abs().max() < 1e-4


def test_what_would_be_a_copy_is_not_kept():
    plain, ours = pair(**KINDS["plain"])
    ours.weight = nn.Parameter(ours.weight.contiguous(memory_format=torch.contiguous_format))
    taken = torch.randn(2, 24, 4, 4)
    with torch.inference_mode(), laid_out(nn.Sequential(ours)):
        assert (ours(taken) - plain(taken)).abs().max() < 1e-5
        assert not ours.borders._laid
