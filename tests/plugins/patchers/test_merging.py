"""Merging into weights of any type, and putting back just what was there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import ModelSpec, Patch, Role, WeightFile, WeightKind
from stretto.host.errors import WeightsError
from stretto.plugins.patchers.merging import WeightPatcher


def model_of(dtype=torch.float32):
    torch.manual_seed(0)
    unet = torch.nn.ModuleDict({"conv": torch.nn.Conv2d(4, 6, 3), "line": torch.nn.Linear(8, 6)}).to(dtype)
    unet.to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)
    unet.config = SimpleNamespace(layers_per_block=1, up_block_types=())
    weights = WeightFile(path="model", kind=WeightKind.DIFFUSERS)
    return SimpleNamespace(unet=unet, text_encoders=(), spec=ModelSpec(role=Role.BASE, weights=weights))


def written(folder, **tensors):
    path = folder / "style.safetensors"
    save_file({name.replace("__", "."): value.contiguous() for name, value in tensors.items()}, path)
    file = probe(path)
    return Patch(kind=file.kind, file=file, weight=0.5)


def lora(layer, up, down):
    return {f"unet__{layer}__lora_B__weight": up, f"unet__{layer}__lora_A__weight": down}


def merged(model, patch, notes=None):
    note = print if notes is None else notes.append
    return WeightPatcher(patch.kind).applied(model, patch, note)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_keep_type_order_and_bits(tmp_path, dtype):
    model = model_of(dtype)
    conv, line = model.unet["conv"], model.unet["line"]
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    patch = written(
        tmp_path,
        **lora("conv", torch.randn(6, 2, 1, 1), torch.randn(2, 4, 3, 3)),
        **lora("line", torch.ones(6, 2), torch.ones(2, 8)),
    )
    parameters, strides = list(model.unet.parameters()), conv.weight.stride()
    with merged(model, patch) as given:
        assert given is model
        assert (conv.weight.dtype, conv.weight.stride()) == (dtype, strides)
        expected = (before["line.weight"].float() + 1.0).to(dtype)
        torch.testing.assert_close(line.weight, expected, atol=0, rtol=0)
        assert not torch.equal(conv.weight, before["conv.weight"])
    assert all(one is other for one, other in zip(parameters, model.unet.parameters(), strict=True))
    assert all(torch.equal(value, model.unet.state_dict()[name]) for name, value in before.items())
    assert conv.weight.stride() == strides


def test_differences_of_weights_and_biases(tmp_path):
    model = model_of()
    line = model.unet["line"]
    weight, bias = line.weight.clone(), line.bias.clone()
    more = lora("conv", torch.zeros(6, 2, 1, 1), torch.zeros(2, 4, 3, 3))
    patch = written(tmp_path, unet__line__diff=torch.ones(6, 8), unet__line__diff_b=torch.ones(6), **more)
    with merged(model, patch):
        torch.testing.assert_close(line.weight, weight + 0.5)
        torch.testing.assert_close(line.bias, bias + 0.5)
    assert torch.equal(line.weight, weight)
    assert torch.equal(line.bias, bias)


def test_a_layer_that_does_not_fit_undoes_those_that_did(tmp_path):
    model = model_of()
    before = model.unet["conv"].weight.clone()
    patch = written(
        tmp_path,
        **lora("conv", torch.ones(6, 2, 1, 1), torch.ones(2, 4, 3, 3)),
        **lora("line", torch.ones(6, 2), torch.ones(2, 9)),
    )
    with (
        pytest.raises(WeightsError, match=r"its layer 'line' does not fit: it changes \[6, 9\]"),
        merged(model, patch),
    ):
        raise AssertionError
    assert torch.equal(model.unet["conv"].weight, before)


def test_a_file_that_is_damaged_in_its_metadata(tmp_path):
    tensors = {"unet.line.lora_A.weight": torch.ones(2, 8), "unet.line.lora_B.weight": torch.ones(6, 2)}
    path = tmp_path / "style.safetensors"
    save_file(tensors, path, metadata={"lora_adapter_metadata": "{"})
    patch = Patch(kind=WeightKind.LORA, file=probe(path))
    with pytest.raises(WeightsError, match="is not JSON"), merged(model_of(), patch):
        raise AssertionError
