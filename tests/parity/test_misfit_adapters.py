"""Adapters that are for another model, broken or evil: said by the file's name, and nothing is left changed."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import Patch, WeightKind
from stretto.host.errors import WeightsError
from stretto.host.testing.adapters import LoraForm, make_inversion, make_loha, make_lora

from .test_adapters import WIDTHS, noted, patch_of, same_bits, state_of


@pytest.mark.parametrize(("model", "other"), [("tiny_sd1", "tiny_sdxl"), ("tiny_sdxl", "tiny_sd1")])
@pytest.mark.parametrize("make", ["lora", "loha", "inversion"])
def test_a_file_of_another_family(pairs, tmp_path, model, other, make):
    pair, path = pairs(model), tmp_path / "other.safetensors"
    if make == "lora":
        make_lora(pairs(other).folder, path, LoraForm(text=True))
    elif make == "loha":
        make_loha(pairs(other).folder, path)
    else:
        make_inversion(path, WIDTHS[other])
    before = state_of(pair.ours.model)
    with pytest.raises(WeightsError, match="It is for") as caught:
        pair.ours.draw(patches=(patch_of(path),))
    assert str(path) in str(caught.value)
    assert f"({pair.ours.weights.family})" in str(caught.value)
    assert same_bits(before, pair.ours.model)


def test_a_file_that_fits_no_layer(pairs, tmp_path):
    pair, path = pairs("tiny_sd1"), tmp_path / "other.safetensors"
    down, up = torch.zeros(4, 2048), torch.zeros(640, 4)
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file({f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}, path)
    with pytest.raises(WeightsError, match=r"fits no layer\. It is for sdxl; name such a model"):
        pair.ours.draw(patches=(patch_of(path),))


def test_layers_that_the_model_has_not_are_noted(pairs, tmp_path):
    pair, path = pairs("tiny_sd1"), tmp_path / "more.safetensors"
    make_lora(pair.folder, path, LoraForm())
    tensors = load_file(path)
    tensors |= {f"lora_unet_nowhere.lora_{side}.weight": torch.zeros(4, 4) for side in ("down", "up")}
    save_file(tensors | {"lora_unet_x.oft_blocks": torch.zeros(4, 4)}, path)
    file = probe(path)
    assert noted(pair.ours, patches=(Patch(kind=WeightKind.LORA, file=file),)) == (
        "1 tensors of 'more.safetensors' are of no form that is known here: lora_unet_x.oft_blocks",
        "1 layers of 'more.safetensors' are not in the model: nowhere",
    )


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize("kind", ["lora", "lycoris", "inversion"])
@pytest.mark.parametrize("content", ["evil", "cut", "noise", "list"])
def test_broken_and_evil_files(pairs, tmp_path, kind, content):
    pair, path = pairs("tiny_sd1"), tmp_path / kind / "file.pt"
    path.parent.mkdir()
    if content == "evil":
        path.write_bytes(pickle.dumps({"a": Evil()}))
    elif content == "list":
        torch.save([torch.zeros(3)], path)
    else:
        torch.save({"lora_unet_conv_in.lora_down.weight": torch.zeros(100)}, path)
        path.write_bytes(path.read_bytes()[:300] if content == "cut" else b"noise" * 100)
    with pytest.raises(WeightsError) as caught:
        pair.ours.draw(patches=(patch_of(path),))
    assert str(path) in str(caught.value)
    assert ("nothing of it was run" in str(caught.value)) == (content == "evil")


@pytest.mark.parametrize("missing", ["lora_up.weight", "lora_down.weight"])
def test_half_a_layer(pairs, tmp_path, missing):
    pair, path = pairs("tiny_sd1"), tmp_path / "half.safetensors"
    make_lora(pair.folder, path, LoraForm())
    tensors = load_file(path)
    del tensors[next(name for name in tensors if name.endswith(missing))]
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"half\.safetensors is not whole: its layer"):
        pair.ours.draw(patches=(patch_of(path),))
