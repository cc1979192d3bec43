"""Measures what a UNet predicts, for files that do not say it."""

from __future__ import annotations

from typing import Any

__all__ = ["predicts_noise"]

SIDE = 32  # latent cells: enough for a steady mean over 4096 numbers
LAST_TIMESTEP = 999
HALF = 0.5


def predicts_noise(unet: Any, text_encoder: Any, tokenizer: Any) -> bool:
    """Say whether `unet` predicts the noise, rather than the velocity.

    At the last timestep the latents are noise but for 0.07 of picture (sqrt of alpha-bar), so a network
    that predicts noise gives its input back, and one that predicts velocity (0.07 noise - picture, Salimans
    and Ho 2022, eq. 8) does not. Draws from a generator of its own.
    """
    import torch
    from torch.nn.functional import cosine_similarity

    generator = torch.Generator().manual_seed(0)
    weight = next(unet.parameters())
    noise = torch.randn(1, unet.config.in_channels, SIDE, SIDE, generator=generator)
    ids = tokenizer(
        "", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt"
    ).input_ids
    with torch.inference_mode():
        text = text_encoder(ids.to(weight.device))[0]  # (1, 77, channels)
        found = unet(noise.to(weight.device, weight.dtype), LAST_TIMESTEP, text).sample
    likeness = cosine_similarity(found.float().cpu().flatten(), noise.flatten(), dim=0)
    return bool(likeness > HALF)
