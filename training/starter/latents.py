"""The cache of encoded scenes that the denoiser is trained on."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from training.starter.autoencoder import SCALING_FACTOR, encode
from training.starter.drawing import draw_scenes
from training.starter.learner import Run, save_atomically
from training.starter.sprites import Sprites
from training.starter.world import Figure, Mixture, Scene, sample_training_scene

CHUNK: Final = 2000
DRAW_BATCH: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Scaled latents (n, 4, 16, 16) and the scenes they show."""

    latents: Tensor
    scenes: tuple[Scene, ...]


def cache_latents(run: Run, sprites: Sprites, vae: AutoencoderKL, chunks: int) -> bool:
    """Encode scenes chunk by chunk; a chunk's seed is its number, so that a stop loses at most one chunk."""
    folder = run.work / "latents"
    for number in range(chunks):
        path = folder / f"{number:04d}.pt"
        if path.exists():
            continue
        if run.out_of_time:
            return False
        began = time.monotonic()
        save_atomically(_encode_chunk(run, sprites, vae, number), path)
        print(f"latents {number + 1}/{chunks}, {CHUNK / (time.monotonic() - began):.0f} scenes/s", flush=True)
    return True


def _encode_chunk(run: Run, sprites: Sprites, vae: AutoencoderKL, number: int) -> dict[str, object]:
    rng = random.Random(10_000 + number)
    scenes = [sample_training_scene(rng, Mixture(), sprites.clashes) for _ in range(CHUNK)]
    latents = []
    for start in range(0, CHUNK, DRAW_BATCH):
        pictures = draw_scenes(scenes[start : start + DRAW_BATCH], sprites, rng).to(run.device)
        latents.append((encode(vae, pictures) * SCALING_FACTOR).half().cpu())
    return {"latents": torch.cat(latents), "scenes": [_to_row(scene) for scene in scenes]}


def load_cache(folder: Path) -> Cache:
    """All the chunks there are."""
    chunks = [torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))]
    if not chunks:
        message = f"{folder} holds no latents; run the latents stage first"
        raise FileNotFoundError(message)
    return Cache(
        latents=torch.cat([chunk["latents"] for chunk in chunks]),
        scenes=tuple(_from_row(row) for chunk in chunks for row in chunk["scenes"]),
    )


def _to_row(scene: Scene) -> tuple[object, ...]:
    figures = tuple((f.kind, f.colour, f.x, f.y, f.radius) for f in scene.figures)
    return scene.ground, figures, scene.place, scene.size, scene.relation


def _from_row(
    row: tuple[
        str, tuple[tuple[str, str | None, float, float, float], ...], str | None, str | None, str | None
    ],
) -> Scene:
    ground, figures, place, size, relation = row
    return Scene(
        ground=ground,
        figures=tuple(Figure(kind=k, colour=c, x=x, y=y, radius=r) for k, c, x, y, r in figures),
        place=place,
        size=size,
        relation=relation,
    )
