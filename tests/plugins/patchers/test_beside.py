"""LoRA beside large layers: what it adds, when it is merged, and that the weights are left alone."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import save_file
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import Patch
from stretto.host.engine.seamless import seamless
from stretto.plugins.patchers import beside
from stretto.plugins.patchers.merging import WeightPatcher

from .test_merging import merged, model_of

LAYERS = {"line": (torch.nn.Linear, (96, 80)), "conv": (torch.nn.Conv2d, (24, 40, 3, 2, 1))}


@pytest.fixture
def model():
    """Give a model of two layers that are large enough."""
    made = model_of()
    torch.manual_seed(0)
    for name, (kind, sizes) in LAYERS.items():
        made.unet[name] = (
            kind(*sizes).requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)
        )
    return made


def lora(folder, seed=0, weight=0.5, rank=3, **more):
    """Write a LoRA of both layers."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    tensors = {
        "unet.line.lora_A.weight": draw(rank, 96), "unet.line.lora_B.weight": draw(80, rank),
        "unet.conv.lora_A.weight": draw(rank, 24, 3, 3), "unet.conv.lora_B.weight": draw(40, rank, 1, 1),
        "unet.line.alpha": torch.tensor(2.0),
        **more,
    }  # fmt: skip
    path = folder / f"{seed}.safetensors"
    save_file(tensors, path)
    file = probe(path)
    return Patch(kind=file.kind, file=file, weight=weight)


def given(layer, batch=1):
    generator = torch.Generator().manual_seed(9)
    shape = (batch, 7, 96) if isinstance(layer, torch.nn.Linear) else (batch, 24, 10, 8)
    return layer(torch.randn(*shape, generator=generator))


@pytest.fixture
def at_once(monkeypatch):
    """Give a function that has every adapter merged at once for the time of a block."""

    def applied(model, *patches):
        with monkeypatch.context() as patched, ExitStack() as stack:
            patched.setattr(beside, "LARGE", 10**9)
            for patch in patches:
                stack.enter_context(merged(model, patch))
            return {name: given(model.unet[name]) for name in LAYERS}

    return applied


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_it_gives_what_a_merged_one_would(model, at_once, tmp_path, name, batch):
    patch, layer = lora(tmp_path), model.unet[name]
    plain, expected = given(layer), at_once(model, patch)[name]
    before = layer.weight.data_ptr()
    with merged(model, patch):
        out = given(layer, batch)
        assert layer.weight.data_ptr() == before
        torch.testing.assert_close(out[:1], expected, atol=2e-5, rtol=1e-5)
    assert (expected - plain).abs().max() > 0.1
    assert torch.equal(given(layer), plain)
    assert not layer._forward_hooks


def test_calls_that_cost_as_much_as_merging_are_the_last_ones_beside(model, tmp_path):
    layer = model.unet["line"]
    before, pointer = layer.weight.clone(), layer.weight.data_ptr()
    with merged(model, lora(tmp_path)), torch.inference_mode():
        outs = [given(layer) for _ in range(5)]
        assert layer.weight.data_ptr() != pointer
        assert all(torch.allclose(outs[0], out, atol=2e-5) for out in outs)
        assert not layer.weight.is_inference()
    assert layer.weight.data_ptr() == pointer
    assert torch.equal(layer.weight, before)


def test_large_layers_stay_beside_for_longer_than_small_ones():
    assert beside.MERGE_NS_EACH * 1280 * 1280 > 10 * beside.CALL_NS
    assert beside.MERGE_NS + beside.MERGE_NS_EACH * beside.LARGE < 3 * beside.CALL_NS


def test_text_encoders_stay_beside_for_good(model, tmp_path):
    """How often they were called must not show in what they give: it is remembered between jobs."""
    layer = model.unet["line"]
    with ExitStack() as undo:
        down, up = torch.ones(2, 96), torch.ones(80, 2)
        assert beside.fits_beside(layer, {"down": down, "up": up})
        beside.stand_beside(layer, {"down": down, "up": up}, 1.0, undo, for_good=True)
        first, pointer = given(layer), layer.weight.data_ptr()
        assert all(torch.equal(given(layer), first) for _ in range(20))
        assert layer.weight.data_ptr() == pointer


@pytest.mark.parametrize("calls", [0, 1, 9])
def test_two_at_once_leave_in_any_state(model, at_once, tmp_path, calls):
    patches = lora(tmp_path), lora(tmp_path, seed=1, weight=-0.7, rank=5)
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    expected, alone = at_once(model, *patches), at_once(model, patches[0])
    with merged(model, patches[0]):
        with merged(model, patches[1]):
            for name in LAYERS:
                for _ in range(calls):
                    torch.testing.assert_close(given(model.unet[name]), expected[name], atol=5e-5, rtol=1e-5)
        for name in LAYERS:
            torch.testing.assert_close(given(model.unet[name]), alone[name], atol=2e-5, rtol=1e-5)
    assert all(torch.equal(value, model.unet.state_dict()[name]) for name, value in before.items())


def test_what_depends_on_the_weight_comes_after_what_stands_beside(model, at_once, tmp_path):
    """DoRA gives a weight its lengths, so a LoRA before it must be in that weight, and one after it not."""
    lengths = {"unet.line.lora_magnitude_vector": torch.rand(80) + 0.5}
    patches = lora(tmp_path), lora(tmp_path, seed=1, **lengths), lora(tmp_path, seed=2)
    before = model.unet["line"].weight.clone()
    expected = at_once(model, *patches)
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(merged(model, patch))
        for _ in range(6):
            torch.testing.assert_close(given(model.unet["line"]), expected["line"], atol=5e-5, rtol=1e-5)
    assert torch.equal(model.unet["line"].weight, before)


def test_borders_are_those_that_the_layer_sees(model, at_once, tmp_path):
    """A seamless picture's convolutions look at the far end, and so does what stands beside them."""
    patch, layer = lora(tmp_path), model.unet["conv"]
    with seamless([model.unet], (True, False)):
        expected = at_once(model, patch)["conv"]
        with merged(model, patch):
            torch.testing.assert_close(given(layer), expected, atol=2e-5, rtol=1e-5)
    plain = at_once(model, patch)["conv"]
    assert (expected - plain).abs().max() > 0.1


def test_offloaded_networks_are_merged(model, tmp_path):
    """Their weights lie on the CPU and compute elsewhere, as diffusers says in `device`."""
    model.unet.device = torch.device("cuda")
    pointer = model.unet["line"].weight.data_ptr()
    with merged(model, lora(tmp_path)):
        assert not any(model.unet[name]._forward_hooks for name in LAYERS)
        assert model.unet["line"].weight.data_ptr() != pointer
    assert model.unet["line"].weight.data_ptr() == pointer


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(model, at_once, tmp_path, dtype):
    model.unet.to(dtype)
    patch, layer = lora(tmp_path), model.unet["line"]
    shape = torch.randn(1, 7, 96, generator=torch.Generator().manual_seed(9)).to(dtype)
    with merged(model, patch):
        out = layer(shape)
    assert out.dtype == dtype
    plain = layer.weight.float() + 0.5 * (2.0 / 3) * _product(patch)
    torch.testing.assert_close(
        out.float(), shape.float() @ plain.T + layer.bias.float(), atol=0.25, rtol=0.02
    )


def _product(patch):
    from safetensors.torch import load_file

    tensors = load_file(patch.file.path)
    return tensors["unet.line.lora_B.weight"] @ tensors["unet.line.lora_A.weight"]


def test_other_layers_and_forms_are_merged(model):
    line, conv = model.unet["line"], model.unet["conv"]
    low = {"down": torch.ones(2, 96), "up": torch.ones(80, 2)}
    grouped = torch.nn.Conv2d(64, 64, 3, groups=2)
    assert beside.fits_beside(line, low)
    assert not beside.fits_beside(line, {**low, "magnitude": torch.ones(80)})
    assert not beside.fits_beside(line, {**low, "up": torch.ones(79, 2)})
    assert not beside.fits_beside(conv, low)
    assert not beside.fits_beside(grouped, {"down": torch.ones(2, 64, 3, 3), "up": torch.ones(64, 2, 1, 1)})
    assert not beside.fits_beside(torch.nn.Embedding(96, 80), low)


def test_the_patcher_puts_large_layers_beside(model, tmp_path):
    with WeightPatcher(lora(tmp_path).kind).applied(model, lora(tmp_path), print):
        assert all(len(model.unet[name]._forward_hooks) == 1 for name in LAYERS)
