"""Freshly loaded networks made ready, and measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from stretto.host.contracts.models import ModelSpec, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.components import check_draws, settle, shapes, size_bytes
from stretto.host.errors import UnsupportedError, WeightsError


def loaded(folder, dtype=torch.float32, **parts) -> LoadedModel:
    weights = WeightFile(path=str(folder), kind=WeightKind.DIFFUSERS)
    networks = {
        "unet": UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype),
        "vae": AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype),
    } | parts
    return LoadedModel(
        spec=ModelSpec(role=Role.BASE, weights=weights),
        text_encoders=(), tokenizers=(), scheduler_config={}, options={}, **networks,
    )  # fmt: skip


def test_networks_are_ready_to_run(tiny_sd1):
    model = settle(loaded(tiny_sd1))
    assert not model.unet.training
    assert not any(weight.requires_grad for weight in model.unet.parameters())
    assert model.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)]
)
def test_a_vae_that_overflows_in_half_precision_is_kept_in_full(tiny_sdxl, dtype, expected):
    model = settle(loaded(tiny_sdxl, dtype))
    assert model.vae.dtype == expected
    assert model.unet.dtype == dtype


def test_a_vae_that_does_not_overflow_stays_in_half_precision(tiny_sd1):
    assert settle(loaded(tiny_sd1, torch.float16)).vae.dtype == torch.float16


def test_size_counts_bytes_once(tiny_sd1):
    model = loaded(tiny_sd1)
    expected = sum(p.numel() * 4 for net in (model.unet, model.vae) for p in net.parameters())
    assert size_bytes(model) == expected
    shared = loaded(tiny_sd1, unet=model.vae, vae=model.vae)
    assert size_bytes(shared) == sum(p.numel() * 4 for p in model.vae.parameters())


def test_shapes_are_read_off_the_networks(tiny_sd1):
    found = shapes(loaded(tiny_sd1, torch.bfloat16))
    assert (found.latent_channels, found.unet_channels, found.unet_dtype) == (4, 4, torch.bfloat16)


def test_a_model_that_fills_masks_does_not_draw_without(tiny_inpainter):
    with pytest.raises(UnsupportedError, match="9 channels"):
        check_draws(loaded(tiny_inpainter))


def test_a_vae_of_another_factor_is_refused(tiny_sd1):
    odd = SimpleNamespace(config=SimpleNamespace(block_out_channels=[8, 8, 8]))
    with pytest.raises(WeightsError, match="4 times"):
        shapes(loaded(tiny_sd1, vae=odd))
