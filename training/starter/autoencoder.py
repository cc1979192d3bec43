"""The starter's AutoencoderKL: its training, the whitening of its latents, and its decoder's fine-tuning."""

import random
from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from training.starter.drawing import draw_scenes
from training.starter.learner import Learner, Plan, Run
from training.starter.sprites import Sprites
from training.starter.world import SIZE_PX, Mixture, sample_training_scene

SCALING_FACTOR: Final = 0.18215  # Stable Diffusion 1.x's
POOL: Final = 3000
REFRESH_EVERY: Final = 600
KL_WEIGHT: Final = 1e-4
ENCODE_PLAN: Final = Plan(name="vae", steps=4400, rate=1.2e-3, fall_from=0.35, ema=0.995, clip=2.0, seed=1)
DECODE_PLAN: Final = Plan(
    name="vae_decoder", steps=9000, rate=8e-4, fall_from=0.2, ema=0.997, clip=2.0, seed=2
)


def build_autoencoder() -> AutoencoderKL:
    """An untrained AutoencoderKL: factor 8, 4 latent channels."""
    widths = (16, 32, 64, 64)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,  # 16 failed to train at these widths
        sample_size=SIZE_PX,
        scaling_factor=SCALING_FACTOR,
    )
    with torch.no_grad():
        vae.quant_conv.bias[4:] = -5.0
        vae.quant_conv.weight[4:] *= 0.1
    return vae.to(memory_format=torch.channels_last)


def train_autoencoder(run: Run, sprites: Sprites, vae: AutoencoderKL) -> bool:
    """Encoder and decoder together; returns whether the plan is finished and leaves the average in `vae`."""
    learner = Learner(run, ENCODE_PLAN, {"vae": vae}, {})
    pool = torch.empty(0)
    for step in learner.steps():
        if not len(pool) or step % REFRESH_EVERY == 0:
            pool = draw_pool(pool_rng(learner.plan.seed, step), sprites)
        crop, batch = (32, 24) if step < ENCODE_PLAN.steps * 0.4 else (64, 12)
        pictures = crop_pictures(pool, learner.rng, crop, batch).to(run.device)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.half):
            posterior = vae.encode(pictures).latent_dist
            decoded = vae.decode(posterior.sample()).sample.float()
        numbers = posterior.mean[0].numel()
        divergence = posterior.kl().float().mean() / numbers
        learner.update(_picture_loss(decoded, pictures) + KL_WEIGHT * divergence)
    vae.load_state_dict(learner.averages["vae"].state_dict())
    return learner.finished


def train_decoder(run: Run, sprites: Sprites, vae: AutoencoderKL) -> bool:
    """The decoder alone, from slightly noisy latents: everything encoded before stays valid."""
    for name, parameter in vae.named_parameters():
        parameter.requires_grad_(name.startswith(("decoder", "post_quant")))
    learner = Learner(run, DECODE_PLAN, {"vae": vae}, {})
    pool = torch.empty(0)
    for step in learner.steps():
        if not len(pool) or step % REFRESH_EVERY == 0:
            pool = draw_pool(pool_rng(learner.plan.seed, step), sprites)
        pictures = crop_pictures(pool, learner.rng, 64, 12).to(run.device)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.half):
            with torch.no_grad():
                latents = vae.encode(pictures).latent_dist.mode()
                strength = 0.08 / SCALING_FACTOR * torch.rand(len(latents), 1, 1, 1, device=run.device)
                latents = latents + torch.randn_like(latents) * strength
            decoded = vae.decode(latents).sample.float()
        learner.update(_picture_loss(decoded, pictures))
    vae.load_state_dict(learner.averages["vae"].state_dict())
    return learner.finished


def _picture_loss(decoded: Tensor, pictures: Tensor) -> Tensor:
    gap = decoded - pictures
    edges = (gap[:, :, 1:] - gap[:, :, :-1]).abs().mean() + (gap[..., 1:] - gap[..., :-1]).abs().mean()
    return gap.abs().mean() + 0.5 * gap.square().mean() + 0.5 * edges


def pool_rng(seed: int, step: int) -> random.Random:
    """The draw of the pool that a step uses, so that a resumed stage draws the same one again."""
    return random.Random(f"{seed}/{step // REFRESH_EVERY}")


def draw_pool(rng: random.Random, sprites: Sprites) -> Tensor:
    """Training pictures (POOL, 3, 128, 128) as bytes: mostly scenes, some outlines, some patchwork."""
    scenes = [sample_training_scene(rng, Mixture(two=0.5, thing=0.65), sprites.clashes) for _ in range(POOL)]
    outlines = POOL // 10
    parts = [draw_scenes(scenes[:outlines], sprites, rng, "outline")]
    parts += [draw_scenes(scenes[i : i + 50], sprites, rng) for i in range(outlines, POOL, 50)]
    pictures = torch.cat(parts)
    # Patchwork: halves of different pictures and plain random colours, so that it generalises beyond the world.
    for i in range(0, POOL, 8):
        other = rng.randrange(POOL)
        cut = rng.randrange(20, SIZE_PX - 20)
        pictures[i, :, :cut] = pictures[other, :, :cut]
        left, top = rng.randrange(96), rng.randrange(96)
        colour = torch.tensor([rng.random() for _ in range(3)])[:, None, None]
        pictures[i, :, top : top + rng.randrange(8, 32), left : left + rng.randrange(8, 32)] = colour
    return (pictures * 255).round().byte()


def crop_pictures(pool: Tensor, rng: random.Random, crop_px: int, batch: int) -> Tensor:
    """A batch of crops in -1..1; some with their colour channels swapped or mirrored."""
    rows = torch.tensor([rng.randrange(len(pool)) for _ in range(batch)])
    top, left = (rng.randint(0, SIZE_PX - crop_px) for _ in range(2))
    crops = pool[rows, :, top : top + crop_px, left : left + crop_px].float() / 127.5 - 1
    if rng.random() < 0.2:
        crops = crops[:, torch.tensor(rng.sample(range(3), 3))]
    if rng.random() < 0.5:
        crops = crops.flip(3)
    return crops.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def whiten(vae: AutoencoderKL, sprites: Sprites, device: torch.device) -> None:
    """Fold a ZCA into the quant convolutions: latents times the scaling factor become unit and decorrelated."""
    rng = random.Random(77)
    latents = torch.cat([encode(vae, _fresh(rng, sprites).to(device)) for _ in range(40)])
    rows = latents.permute(0, 2, 3, 1).reshape(-1, 4).float()
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((rows - mean).T))
    zca = (vectors / values.sqrt()) @ vectors.T
    weight, bias = vae.quant_conv.weight[:, :, 0, 0].clone(), vae.quant_conv.bias.clone()
    spread = (bias[4:].mean() / 2).exp()
    new_weight, new_bias = torch.zeros_like(weight), bias.clone()
    new_weight[:4] = zca @ weight[:4] / SCALING_FACTOR
    new_bias[:4] = zca @ (bias[:4] - mean) / SCALING_FACTOR
    new_bias[4:] = (zca.square().sum(1) * (spread / 4).square() / SCALING_FACTOR**2).log()
    vae.quant_conv.weight.copy_(new_weight[:, :, None, None])
    vae.quant_conv.bias.copy_(new_bias)
    post = vae.post_quant_conv.weight[:, :, 0, 0].clone()
    vae.post_quant_conv.bias.copy_(vae.post_quant_conv.bias + post @ mean)
    vae.post_quant_conv.weight.copy_((post @ torch.linalg.inv(zca) * SCALING_FACTOR)[:, :, None, None])


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """The posterior's mean (batch, 4, 16, 16) of pictures in 0..1, not scaled."""
    batch = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
    latents: Tensor = vae.encode(batch).latent_dist.mode()
    return latents.contiguous()


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures in 0..1 of latents that are not scaled."""
    pictures: Tensor = vae.decode(latents).sample
    return (pictures / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def measure_psnr(vae: AutoencoderKL, sprites: Sprites, device: torch.device) -> float:
    """Peak signal to noise of reconstructed scenes, in decibels."""
    rng = random.Random(5)
    pictures = torch.cat([_fresh(rng, sprites) for _ in range(2)]).to(device)
    errors = functional.mse_loss(decode(vae, encode(vae, pictures)), pictures, reduction="none").mean(
        (1, 2, 3)
    )
    return float((-10 * errors.log10()).mean())


def _fresh(rng: random.Random, sprites: Sprites) -> Tensor:
    return draw_scenes([sample_training_scene(rng, Mixture(), sprites.clashes) for _ in range(25)], sprites)
