from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stretto.plugins.loaders.prediction import predicts_noise
from stretto.plugins.loaders.words import clip_tokenizer


class Ideal:
    """A network that answers as a perfectly trained one would, for a picture of constant colour."""

    def __init__(self, *, velocity: bool) -> None:
        import torch

        self.velocity = velocity
        self.config = SimpleNamespace(in_channels=4)
        self.weight = torch.zeros(1)

    def parameters(self) -> Any:
        return iter([self.weight])

    def __call__(self, latents: Any, timestep: int, _text: Any) -> SimpleNamespace:
        import torch

        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        signal = torch.cumprod(1 - betas, 0)[timestep].sqrt()
        spread = (1 - signal**2).sqrt()
        picture = torch.full_like(latents, 0.7)
        noise = (latents - signal * picture) / spread
        answer = signal * noise - spread * picture if self.velocity else noise
        return SimpleNamespace(sample=answer)


@pytest.mark.parametrize("velocity", [True, False])
def test_tells_noise_from_velocity(velocity: bool) -> None:
    import torch

    def text_encoder(ids: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.zeros(*ids.shape, 8),)

    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert predicts_noise(Ideal(velocity=velocity), text_encoder, clip_tokenizer()) is not velocity
    assert torch.equal(torch.rand(1), expected)
