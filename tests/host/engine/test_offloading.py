"""Where networks are. The CPU is the only device here, so what is off it is looked at on `meta`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import ModelSpec, Precision, Role
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.components import networks, settle, shapes
from stretto.host.engine.conditioning import encode
from stretto.host.engine.latents import decode
from stretto.host.engine.offloading import group_offload, move
from stretto.plugins.loaders.folder import FolderLoader


@pytest.fixture
def load(tiny_sdxl: Any) -> Any:
    def loaded(device: str = "cpu") -> LoadedModel:
        spec = ModelSpec(role=Role.BASE, weights=probe(tiny_sdxl))
        return settle(FolderLoader().load(spec, Precision.FLOAT32, device))

    return loaded


@torch.inference_mode()
def outputs(model: LoadedModel, device: str = "cpu") -> list[torch.Tensor]:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).to(device)
    text = encode(model, "a red circle")
    assert text.pooled is not None
    added = {"text_embeds": text.pooled.repeat(2, 1), "time_ids": torch.zeros(2, 6, device=device)}
    noise = model.unet(
        latents, 500, encoder_hidden_states=text.tokens.repeat(2, 1, 1), added_cond_kwargs=added
    )
    return [value.cpu() for value in (text.tokens, text.pooled, noise.sample, decode(model.vae, latents))]


def test_every_network_moves(load: Any) -> None:
    model = load()
    move(model, "meta")
    assert {weight.device.type for network in networks(model) for weight in network.parameters()} == {"meta"}


def test_weights_in_groups_compute_the_same(load: Any) -> None:
    model = load()
    before = outputs(model)
    group_offload(model, "cpu")
    after = outputs(model)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_blocks_of_the_unet_come_to_the_device_one_after_the_other(load: Any) -> None:
    """On `meta` nothing is computed, but where each block is while its turn comes can be seen."""
    model = load()
    seen: list[tuple[str, str]] = []
    blocks = [*model.unet.down_blocks, *model.unet.up_blocks]
    group_offload(model, "cpu", idle="cpu")
    for index, block in enumerate(blocks):
        block.register_forward_pre_hook(
            lambda module, _given, index=index: seen.append(
                (str(index), next(module.parameters()).device.type)
            )
        )
    outputs(model)
    assert [name for name, _ in seen] == [str(index) for index in range(len(blocks))]
    assert shapes(model).device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_card_computes_the_same_with_its_weights_in_ram(load: Any) -> None:
    model = load("cuda")
    on_card = outputs(model, "cuda")
    held = torch.cuda.memory_allocated()
    move(model, "cpu")
    assert torch.cuda.memory_allocated() < held // 4
    move(model, "cuda")
    assert all(torch.equal(a, b) for a, b in zip(on_card, outputs(model, "cuda"), strict=True))
    group_offload(model, "cuda")
    assert torch.cuda.memory_allocated() < held // 4
    assert shapes(model).device.type == "cuda"
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(on_card, outputs(model, "cuda"), strict=True))
