"""The starter's UNet2DConditionModel, trained together with the text encoder on the cached latents."""

from typing import Final

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training.starter.captions import write_caption
from training.starter.latents import load_cache
from training.starter.learner import Learner, Plan, Run
from training.starter.text import WIDTH, tokenize

BATCH: Final = 48
UNTOLD_FRACTION: Final = 0.13  # captions replaced by the empty one, for classifier-free guidance
WEIGHT_CAP: Final = 12.0
TEXT_RATE: Final = 0.4
PLAN: Final = Plan(name="unet", steps=13_000, rate=1e-3, fall_from=0.6, ema=0.9985, seed=7)
RELOAD_EVERY: Final = 500


def build_denoiser() -> UNet2DConditionModel:
    """An untrained UNet2DConditionModel of 7.2 M parameters; attention at 8 x 8 and 4 x 4 only."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 96, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise, with what PNDM reads beside."""
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
        prediction_type="epsilon",
    )
    scheduler.register_to_config(skip_prk_steps=True)  # PNDM fails at 20 steps without it
    return scheduler


def train_denoiser(
    run: Run, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, unet: UNet2DConditionModel, steps: int
) -> bool:
    """Predict the noise; leaves the averages in `encoder` and `unet`."""
    # On CPU the fused attention's backward pass takes a third of the whole step; plain products take a tenth.
    unet.set_attn_processor(AttnProcessor())
    encoder.set_attn_implementation("eager")
    plan = Plan(
        name=PLAN.name, steps=steps, rate=PLAN.rate, fall_from=PLAN.fall_from, ema=PLAN.ema, seed=PLAN.seed
    )
    learner = Learner(run, plan, {"unet": unet, "encoder": encoder}, {"encoder": TEXT_RATE})
    alphas = build_scheduler().alphas_cumprod.to(run.device)
    cache = load_cache(run.work / "latents")
    for step in learner.steps():
        if step % RELOAD_EVERY == 0:
            cache = load_cache(run.work / "latents")
        rows = [learner.rng.randrange(len(cache.scenes)) for _ in range(BATCH)]
        texts = [
            ""
            if learner.rng.random() < UNTOLD_FRACTION
            else write_caption(cache.scenes[row], learner.rng).text
            for row in rows
        ]
        latents = cache.latents[torch.tensor(rows)].float().to(run.device)
        ids = tokenize(tokenizer, texts).to(run.device)
        times = spread_times(len(rows)).to(run.device)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.half):
            noisy, noise = add_noise(latents, times, alphas)
            predicted = unet(noisy, times, encoder(ids).last_hidden_state).sample
        learner.update(weighted_loss(predicted.float(), noise, times, alphas))
    unet.load_state_dict(learner.averages["unet"].state_dict())
    encoder.load_state_dict(learner.averages["encoder"].state_dict())
    return learner.finished


def spread_times(batch: int) -> Tensor:
    """One time step from each of `batch` equal parts of 0..999."""
    return ((torch.arange(batch) + torch.rand(batch)) / batch * 1000).long().clamp(max=999)


def add_noise(latents: Tensor, times: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """The noisy latents and their noise."""
    noise = torch.randn_like(latents)
    kept = alphas[times][:, None, None, None]
    return kept.sqrt() * latents + (1 - kept).sqrt() * noise, noise


def weighted_loss(predicted: Tensor, noise: Tensor, times: Tensor, alphas: Tensor) -> Tensor:
    """Squared error weighted by (snr + 1) / snr, capped: v-space's weights, which learn shapes far sooner."""
    weights = (1 / alphas[times]).clamp(max=WEIGHT_CAP)  # snr = a / (1 - a), so (snr + 1) / snr = 1 / a
    errors = functional.mse_loss(predicted, noise, reduction="none").mean((1, 2, 3))
    return (errors * weights).mean()
