"""Noise, windows that blend, and the VAE in one piece or in tiles."""

from __future__ import annotations

import pytest
import torch
from stretto.host.contracts.plan import Chunking
from stretto.host.engine import latents as subject
from stretto.host.engine.latents import decode, encode, lay_windows, noise


def chunks(size_px: int, stride_px: int, blur_px: int) -> Chunking:
    return Chunking(size_px=size_px, stride_px=stride_px, blur_px=blur_px)


def test_noise_is_that_of_torch_from_the_seed():
    drawn = noise(2, 4, (24, 16), torch.Generator().manual_seed(5))
    assert torch.equal(drawn, torch.randn((2, 4, 3, 2), generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("blur", [0, 16, 64, 4096])
@pytest.mark.parametrize("stride", [8, 32, 64])
@pytest.mark.parametrize("samples", [1, 3])
def test_what_does_not_depend_on_the_window_blends_to_itself(stride, blur, samples):
    mosaic = lay_windows((136, 200), chunks(64, stride, blur))
    canvas = torch.randn(samples, 4, 17, 25)
    assert mosaic.total is not None
    assert float(mosaic.total.min()) > 0
    torch.testing.assert_close(mosaic.blend(canvas, lambda rows: rows), canvas)


def test_one_window_is_handed_through():
    canvas = torch.randn(2, 4, 8, 8)
    seen = []
    mosaic = lay_windows((64, 64), chunks(64, 32, 8))
    assert mosaic.blend(canvas, lambda rows: seen.append(rows) or rows) is canvas
    assert seen[0] is canvas


def test_calls_stay_within_the_limit_and_see_every_row(monkeypatch):
    monkeypatch.setitem(subject._CALL_LIMIT_CELLS, "cpu", 3 * 8 * 8)
    mosaic = lay_windows((128, 128), chunks(64, 32, 16))
    canvas = torch.randn(2, 4, 16, 16)
    rows_of_calls = []
    blended = mosaic.blend(canvas, lambda rows: rows_of_calls.append(len(rows)) or rows)
    torch.testing.assert_close(blended, canvas)
    assert max(rows_of_calls) <= 3
    assert sum(rows_of_calls) == len(mosaic.windows) * 2


def test_a_single_large_batch_is_split_too(monkeypatch):
    monkeypatch.setitem(subject._CALL_LIMIT_CELLS, "cpu", 2 * 8 * 8)
    canvas = torch.randn(5, 4, 8, 8)
    blended = lay_windows((64, 64), chunks(64, 0, 0)).blend(
        canvas, lambda rows: rows[:2] if len(rows) > 2 else rows
    )
    assert torch.equal(blended, canvas)


@pytest.fixture(scope="module")
def vae(tiny_sd1):
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(tiny_sd1 / "vae").eval().requires_grad_(False)


def test_encoding_draws_from_the_posterior_as_diffusers_does(vae):
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    ours = encode(vae, pixels, torch.Generator().manual_seed(3))
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
    theirs = posterior.sample(torch.Generator().manual_seed(3)) * vae.config.scaling_factor
    torch.testing.assert_close(ours, theirs)


def test_a_vae_with_its_own_statistics_is_whitened_by_them(vae):
    latents = torch.randn(1, 4, 8, 8)
    plain = decode(vae, latents)
    with torch.no_grad():
        theirs = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
    torch.testing.assert_close(plain, theirs)
    mean, deviation = [0.1, -0.2, 0.3, 0.0], [1.0, 2.0, 0.5, 1.5]
    from diffusers import AutoencoderKL

    other = AutoencoderKL.from_config({**vae.config, "latents_mean": mean, "latents_std": deviation})
    other.load_state_dict(vae.state_dict())
    raw = latents * torch.tensor(deviation).view(1, 4, 1, 1) / vae.config.scaling_factor
    raw = raw + torch.tensor(mean).view(1, 4, 1, 1)
    with torch.no_grad():
        theirs = vae.decode(raw, return_dict=False)[0]
    torch.testing.assert_close(decode(other.eval(), latents), theirs)
    drawn = encode(other, plain[:, :, :64, :64].clamp(-1, 1), torch.Generator().manual_seed(1))
    back = encode(vae, plain[:, :, :64, :64].clamp(-1, 1), torch.Generator().manual_seed(1))
    expected = (
        back / vae.config.scaling_factor - torch.tensor(mean).view(1, 4, 1, 1)
    ) * vae.config.scaling_factor
    torch.testing.assert_close(drawn, expected / torch.tensor(deviation).view(1, 4, 1, 1))


def test_large_pictures_go_through_the_vae_in_tiles_and_small_ones_do_not(vae, monkeypatch):
    latents = torch.randn(1, 4, 24, 24)
    whole = decode(vae, latents)
    monkeypatch.setitem(subject._VAE_LIMIT_PX, "cpu", 128 * 128)
    monkeypatch.setattr(subject, "_TILE_PX", 128)
    sizes = []
    hook = vae.decoder.register_forward_hook(lambda *args: sizes.append(args[1][0].shape[-1]))
    tiled = decode(vae, latents)
    small = decode(vae, latents[..., :16, :16])
    hook.remove()
    assert len(sizes) == 4 + 1
    assert max(sizes) == 16
    assert small.shape == (1, 3, 128, 128)
    assert tiled.shape == whole.shape
    assert not vae.use_tiling
    assert float((tiled - whole).abs().mean()) < 0.25 * float(whole.std())


def test_samples_are_decoded_apart_when_together_they_are_too_large(vae, monkeypatch):
    latents = torch.randn(3, 4, 8, 8)
    whole = decode(vae, latents)
    monkeypatch.setitem(subject._VAE_LIMIT_PX, "cpu", 2 * 64 * 64)
    batches = []
    hook = vae.decoder.register_forward_hook(lambda *args: batches.append(len(args[1][0])))
    torch.testing.assert_close(decode(vae, latents), whole)
    hook.remove()
    assert batches == [2, 1]


def test_encoding_tiles_too_and_puts_the_setting_back_after_an_error(vae, monkeypatch):
    monkeypatch.setitem(subject._VAE_LIMIT_PX, "cpu", 64 * 64)
    monkeypatch.setattr(subject, "_TILE_PX", 64)
    pixels = torch.rand(1, 3, 96, 96) * 2 - 1
    assert encode(vae, pixels, torch.Generator().manual_seed(0)).shape == (1, 4, 12, 12)
    with pytest.raises(RuntimeError):
        encode(vae, torch.rand(1, 5, 96, 96), torch.Generator())
    assert not vae.use_tiling
