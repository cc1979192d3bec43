"""The starter's canny ControlNet and its inpainting UNet of nine channels."""

import random
from pathlib import Path
from typing import Final

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional

from training.starter.captions import write_caption
from training.starter.denoiser import add_noise, spread_times, weighted_loss
from training.starter.drawing import draw_scenes
from training.starter.learner import Learner, Plan, Run
from training.starter.patron import Patron, draw_scenes_for, encode_pictures, read_texts, sometimes_untold
from training.starter.text import WIDTH
from training.starter.world import SIZE_PX, Mixture, Scene

BATCH: Final = 32
CONTROL_SCENES: Final = 2000
INPAINT_SCENES: Final = 6000
EDGE_STEP: Final = 0.25  # summed over RGB between neighbouring pixels
VAGUE_FRACTION: Final = 0.6  # captions that do not name the figures, so that the edges are needed


def find_edges(pictures: Tensor) -> Tensor:
    """White edges on black (batch, 3, h, w) of pictures in 0..1, one pixel wide on plain pictures, as Canny's are."""
    edges = torch.zeros_like(pictures[:, :1])
    edges[..., 1:] += (pictures[..., 1:] - pictures[..., :-1]).abs().sum(1, keepdim=True)
    edges[:, :, 1:] += (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().sum(1, keepdim=True)
    return (edges > EDGE_STEP).float().expand(-1, 3, -1, -1).contiguous()


def train_controlnet(run: Run, patron: Patron, folder: Path, steps: int) -> bool:
    """Learn to follow edges; the UNet stays as it is."""
    torch.manual_seed(24)
    control = ControlNetModel.from_unet(patron.unet, conditioning_embedding_out_channels=(8, 16, 24, 32))
    control.requires_grad_(True).train()
    control.set_attn_processor(AttnProcessor())
    scenes = draw_scenes_for(patron, CONTROL_SCENES, 24, Mixture())
    pictures = _draw(patron, scenes)
    latents, edges = encode_pictures(patron, pictures), find_edges(pictures).to(patron.device)
    learner = Learner(run, Plan(name="controlnet", steps=steps, rate=1e-3), {"control": control}, {})
    for _ in learner.steps():
        rows = [learner.rng.randrange(len(scenes)) for _ in range(BATCH)]
        hidden = read_texts(
            patron, sometimes_untold([_vague(scenes[r], learner.rng) for r in rows], learner.rng)
        )
        chosen = torch.tensor(rows)
        times = spread_times(BATCH).to(patron.device)
        noisy, noise = add_noise(latents[chosen], times, patron.alphas)
        with torch.autocast(patron.device.type, torch.bfloat16, enabled=run.half):
            down, middle = control(noisy, times, hidden, edges[chosen], return_dict=False)
            predicted = patron.unet(
                noisy,
                times,
                hidden,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
        learner.update(weighted_loss(predicted.float(), noise, times, patron.alphas))
    if learner.finished:
        control.load_state_dict(learner.averages["control"].state_dict())
        control.half().save_pretrained(folder)
    return learner.finished


def build_inpainting_unet() -> UNet2DConditionModel:
    """A smaller UNet than the model's own, so that it can be shipped beside it; four, one and four channels in."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=9,
        out_channels=4,
        block_out_channels=(48, 64, 72, 72),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def train_inpainting(run: Run, patron: Patron, folder: Path, steps: int) -> bool:
    """Learn to fill masks from the text and what surrounds them."""
    torch.manual_seed(25)
    unet = build_inpainting_unet()
    unet.set_attn_processor(AttnProcessor())
    scenes = draw_scenes_for(patron, INPAINT_SCENES, 25, Mixture())
    rng = random.Random(25)
    pictures = _draw(patron, scenes)
    masks = torch.stack([_mask(scene, rng) for scene in scenes])
    latents = encode_pictures(patron, pictures)
    # Stable Diffusion's convention: the hidden part is zero in -1..1, gray in 0..1.
    seen = encode_pictures(patron, torch.where(masks > 0, torch.full_like(pictures, 0.5), pictures))
    small = functional.interpolate(masks, (SIZE_PX // 8, SIZE_PX // 8)).to(patron.device)
    learner = Learner(run, Plan(name="inpainting", steps=steps, rate=1e-3), {"unet": unet}, {})
    for _ in learner.steps():
        rows = [learner.rng.randrange(len(scenes)) for _ in range(BATCH)]
        texts = [write_caption(scenes[row], learner.rng).text for row in rows]
        hidden = read_texts(patron, sometimes_untold(texts, learner.rng))
        chosen = torch.tensor(rows)
        times = spread_times(BATCH).to(patron.device)
        noisy, noise = add_noise(latents[chosen], times, patron.alphas)
        with torch.autocast(patron.device.type, torch.bfloat16, enabled=run.half):
            predicted = unet(torch.cat([noisy, small[chosen], seen[chosen]], 1), times, hidden).sample
        learner.update(weighted_loss(predicted.float(), noise, times, patron.alphas))
    if learner.finished:
        unet.load_state_dict(learner.averages["unet"].state_dict())
        unet.half().save_pretrained(folder)
    return learner.finished


def _draw(patron: Patron, scenes: list[Scene]) -> Tensor:
    return torch.cat([draw_scenes(scenes[i : i + 50], patron.sprites) for i in range(0, len(scenes), 50)])


def _vague(scene: Scene, rng: random.Random) -> str:
    if rng.random() > VAGUE_FRACTION:
        return write_caption(scene, rng).text
    names = " and ".join(
        f"a {figure.colour} shape" if figure.colour else "a thing" for figure in scene.figures
    )
    return f"{names} on a {scene.ground} background"


def _mask(scene: Scene, rng: random.Random) -> Tensor:
    """A mask (1, 128, 128) of ones over a figure, over all, or over some box."""
    mask = torch.zeros(1, SIZE_PX, SIZE_PX)
    draw = rng.random()
    if draw < 0.6:
        figure = rng.choice(scene.figures)
        reach = figure.radius * rng.uniform(1.1, 1.5)
        box = (figure.x - reach, figure.y - reach, figure.x + reach, figure.y + reach)
    elif draw < 0.7:
        box = (0.0, 0.0, 1.0, 1.0)
    else:
        width, height = rng.uniform(0.25, 0.7), rng.uniform(0.25, 0.7)
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        box = (left, top, left + width, top + height)
    left_px, top_px, right_px, bottom_px = (round(min(1.0, max(0.0, edge)) * SIZE_PX) for edge in box)
    mask[:, top_px:bottom_px, left_px:right_px] = 1
    return mask
