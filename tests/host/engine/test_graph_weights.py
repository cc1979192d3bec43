"""The weights in a graph: what patches lay beside them, and copies in other precisions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from stretto.host import Component, Family, Patch, Precision, WeightFile, WeightKind
from stretto.host.engine.graph_weights import converted, merge_beside, precision_of
from stretto.host.engine.graphs import network
from stretto.host.errors import EngineBuildError
from stretto.host.testing.adapters import LoraForm, make_lora
from stretto.plugins.patchers.beside import Beside
from stretto.plugins.patchers.merging import WeightPatcher

from .graph_models import SIZES, load


@pytest.fixture
def model(tiny_sd1):
    return load(tiny_sd1, Family.SD1)


@pytest.fixture
def patch(tiny_sd1, tmp_path):
    path = make_lora(tiny_sd1, tmp_path / "some.safetensors", LoraForm(convolutions=True, text=True))
    return Patch(kind=WeightKind.LORA, file=WeightFile(path=str(path), kind=WeightKind.LORA))


def hooks(network):
    return [
        hook.__self__ for layer in network.modules() for hook in layer._forward_hooks.values()
    ]  # fmt: skip


def test_a_graph_holds_what_stands_beside_the_weights(model, patch, tmp_path):
    graph = network(model, Component.UNET, tmp_path)
    inputs = tuple(graph.sample(SIZES[0]).values())
    with torch.inference_mode():
        plain = graph.module()(*inputs)[0]
    before = {name: weight.clone() for name, weight in model.unet.named_parameters()}
    with WeightPatcher(WeightKind.LORA).applied(model, patch, print) as patched:
        beside = hooks(patched.unet)
        assert beside
        assert all(isinstance(one, Beside) and one.pending for one in beside)
        with torch.inference_mode():
            expected = patched.unet(*inputs, return_dict=False)[0]
            module = network(patched, Component.UNET, tmp_path).module()
            assert not any(one.pending for one in beside)
            got = module(*inputs)[0]
        half = network(patched, Component.UNET, tmp_path, Precision.FLOAT16).module()
        assert not hooks(half)
        assert hooks(patched.unet)
    assert not torch.allclose(plain, expected, atol=1e-3)
    assert torch.allclose(got, expected, atol=1e-4)
    assert all(torch.equal(weight, before[name]) for name, weight in model.unet.named_parameters())


def test_encoders_that_never_merge_by_themselves_are_merged_too(model, patch):
    with WeightPatcher(WeightKind.LORA).applied(model, patch, print):
        assert all(one.pending for one in hooks(model.text_encoders[0]))
        merge_beside(model.text_encoders[0], Component.TEXT_ENCODER)
        assert not any(one.pending for one in hooks(model.text_encoders[0]))


@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_a_hook_that_cannot_merge_is_refused_by_its_layer(model, kind):
    register = getattr(model.vae.decoder.conv_in, f"register_{kind}_hook")
    handle = register(lambda *_: None)
    try:
        with pytest.raises(EngineBuildError, match=r"vae_decoder: .* layer 'decoder.conv_in'"):
            merge_beside(model.vae, Component.VAE_DECODER)
    finally:
        handle.remove()


def test_a_copy_in_another_precision_leaves_the_network_as_it_is(model):
    copied = converted(model.unet, torch.bfloat16)
    assert precision_of(copied) is Precision.BFLOAT16
    assert precision_of(model.unet) is Precision.FLOAT32
    assert type(copied) is type(model.unet)
    ours, theirs = dict(copied.named_parameters()), dict(model.unet.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name].bfloat16()) for name in ours)
    assert not any(weight.requires_grad for weight in ours.values())


def test_whole_numbers_keep_their_type():
    layer = torch.nn.Linear(2, 2)
    layer.register_buffer("places", torch.arange(3))
    assert converted(layer, torch.float16).places.dtype is torch.int64


def test_the_merging_is_that_of_the_object_which_hooked(model):
    calls = []
    owner = SimpleNamespace(pending=True, merge=lambda: calls.append("merged"))

    class Owner:
        pending = owner.pending

        def merge(self):
            owner.merge()

        def hook(self, *_):
            return None

    handle = model.unet.conv_in.register_forward_hook(Owner().hook)
    merge_beside(model.unet, Component.UNET)
    handle.remove()
    assert calls == ["merged"]
