"""The exported starter model, frozen, with what every companion's training needs of it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.starter.autoencoder import SCALING_FACTOR, encode
from training.starter.denoiser import build_scheduler
from training.starter.learner import Run
from training.starter.sprites import Sprites, load_sprites
from training.starter.text import tokenize
from training.starter.world import Mixture, Scene, sample_training_scene

UNTOLD_FRACTION = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Patron:
    """The model a companion is made for; its parts take no gradient."""

    tokenizer: CLIPTokenizer
    encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    alphas: Tensor
    sprites: Sprites
    device: torch.device


def load_patron(folder: Path, run: Run) -> Patron:
    """The model in `folder`, in single precision."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32).to(run.device)
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.requires_grad_(False)
        part.eval()
    pipeline.unet.set_attn_processor(AttnProcessor())  # trains faster on CPU, see denoiser.py
    return Patron(
        tokenizer=pipeline.tokenizer,
        encoder=pipeline.text_encoder,
        unet=pipeline.unet,
        vae=pipeline.vae,
        alphas=build_scheduler().alphas_cumprod.to(run.device),
        sprites=load_sprites(run.work / "sprites.pt"),
        device=run.device,
    )


def draw_scenes_for(patron: Patron, count: int, seed: int, mixture: Mixture) -> list[Scene]:
    """Training scenes of one seed."""
    rng = random.Random(seed)
    return [sample_training_scene(rng, mixture, patron.sprites.clashes) for _ in range(count)]


def encode_pictures(patron: Patron, pictures: Tensor) -> Tensor:
    """Scaled latents of pictures in 0..1."""
    parts = [encode(patron.vae, batch.to(patron.device)) for batch in torch.split(pictures, 25)]
    return torch.cat(parts) * SCALING_FACTOR


@torch.no_grad()
def read_texts(patron: Patron, texts: Sequence[str]) -> Tensor:
    """The text encoder's hidden states (batch, 77, width)."""
    hidden: Tensor = patron.encoder(tokenize(patron.tokenizer, texts).to(patron.device)).last_hidden_state
    return hidden


def sometimes_untold(texts: Sequence[str], rng: random.Random) -> list[str]:
    """The texts, some replaced by the empty one for classifier-free guidance."""
    return ["" if rng.random() < UNTOLD_FRACTION else text for text in texts]
