from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from PIL import Image
from stretto.host.contracts.models import ModelSpec, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.images import to_pixels
from stretto.host.engine.latents import decode
from stretto.host.engine.relief import Relief, Rung, row_by_row, small_tiles

PICTURE = Path(__file__).parents[3] / "docs" / "images" / "first.png"


@pytest.fixture(scope="module")
def unet(tiny_sdxl: Any) -> Any:
    return UNet2DConditionModel.from_pretrained(tiny_sdxl / "unet", local_files_only=True).eval()


@pytest.fixture(scope="module")
def vae(starter_path: Any) -> Any:
    return AutoencoderKL.from_pretrained(starter_path / "vae", local_files_only=True).eval()


def arguments(rows: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731 - three words, three times
    added = {"text_embeds": draw(rows, 128), "time_ids": draw(rows, 6)}
    return {"encoder_hidden_states": draw(rows, 77, 192), "added_cond_kwargs": added, "return_dict": False}


@torch.inference_mode()
def test_a_unet_sees_one_row_at_a_time_and_predicts_the_same(unet: Any) -> None:
    latents, moment = torch.randn(3, 4, 8, 8), torch.tensor(500)
    (together,) = unet(latents, moment, **arguments(3))
    seen = []
    handle = unet.conv_in.register_forward_pre_hook(lambda _module, given: seen.append(len(given[0])))
    with row_by_row(unet):
        (apart,) = unet(latents, moment, **arguments(3))
    handle.remove()
    assert seen == [1, 1, 1]
    assert torch.allclose(together, apart, atol=1e-5)
    assert "forward" not in vars(unet)
    assert len(unet(latents, moment, **arguments(3))[0]) == 3


@torch.inference_mode()
def test_a_controlnets_lists_are_joined_again(unet: Any) -> None:
    network = ControlNetModel.from_unet(unet).eval()
    for parameter in network.parameters():  # its last layers begin as zeros
        torch.nn.init.normal_(parameter, std=0.02, generator=torch.Generator().manual_seed(1))
    asked = {"controlnet_cond": torch.rand(2, 3, 64, 64), "conditioning_scale": 0.5, **arguments(2)}
    latents = torch.randn(2, 4, 8, 8)
    down, middle = network(latents, 1, **asked)
    with row_by_row(network):
        more, inner = network(latents, 1, **asked)
    assert len(down) == len(more)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip([*down, middle], [*more, inner], strict=True))
    assert middle.abs().max() > 0


@torch.inference_mode()
def test_tiles_stay_within_the_stated_bound(vae: Any) -> None:
    """A picture of the starter's at 512 px, in levels of 255; the bounds stand in docs/howto/memory.md."""
    drawn = Image.open(PICTURE).convert("RGB").resize((512, 512))
    pixels = to_pixels([drawn])
    latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    whole = decode(vae, latents).clamp(-1, 1)
    with small_tiles(vae):
        tiles = decode(vae, latents).clamp(-1, 1)
    apart, lost, lost_in_tiles = (
        float((one - other).abs().mean()) * 127.5
        for one, other in ((whole, tiles), (whole, pixels), (tiles, pixels))
    )
    assert 0 < apart <= 3
    assert lost_in_tiles <= lost + 0.5
    assert not vae.use_tiling
    assert not vae.use_slicing


def test_networks_are_eased_once_and_restored(unet: Any, vae: Any) -> None:
    spec = ModelSpec(role=Role.BASE, weights=WeightFile(path="/m", kind=WeightKind.DIFFUSERS))
    model = LoadedModel(
        spec=spec, unet=unet, vae=vae, text_encoders=(), tokenizers=(), scheduler_config={}, options={}
    )
    with Relief(frozenset(Rung)) as relief:
        relief.ease(model)
        first = unet.forward
        assert relief.ease(model).unet.forward is first
        assert vae.use_tiling
    assert "forward" not in vars(unet)
    assert not vae.use_tiling
