"""Trains the starter model, stage by stage; run it again to go on from the last checkpoint."""

import argparse
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from training.starter.autoencoder import (
    build_autoencoder,
    measure_psnr,
    train_autoencoder,
    train_decoder,
    whiten,
)
from training.starter.denoiser import PLAN, build_denoiser, train_denoiser
from training.starter.export import WORK_FOLDER
from training.starter.judge import JUDGE_FOLDER, Detector, save_judge, train_judge
from training.starter.latents import cache_latents
from training.starter.learner import Run
from training.starter.sprites import load_sprites
from training.starter.text import build_text_encoder, train_text_encoder
from training.starter.vocabulary import build_tokenizer, load_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much the longest stages do."""

    unet_steps: int
    chunks: int


Stage = Callable[[Run, Amounts], bool]


def draw_sprites(run: Run, _: Amounts) -> bool:
    """Shapes' distances and things' pictures, in sprites.pt."""
    load_sprites(run.work / "sprites.pt")
    return True


def make_tokenizer(run: Run, _: Amounts) -> bool:
    """The vocabulary, in tokenizer/."""
    if not (run.work / "tokenizer").exists():
        build_tokenizer(run.work / "tokenizer")
    return True


def teach_text(run: Run, _: Amounts) -> bool:
    """The text encoder before the denoiser, in text_encoder/."""
    folder = run.work / "text_encoder"
    if folder.exists():
        return True
    tokenizer = load_tokenizer(run.work / "tokenizer")
    torch.manual_seed(3)
    encoder = build_text_encoder(tokenizer)
    finished = train_text_encoder(run, load_sprites(run.work / "sprites.pt"), tokenizer, encoder)
    if finished:
        encoder.cpu().save_pretrained(folder)
    return finished


def teach_autoencoder(run: Run, _: Amounts) -> bool:
    """Encoder, decoder and whitening, in vae/."""
    folder = run.work / "vae"
    if folder.exists():
        return True
    sprites = load_sprites(run.work / "sprites.pt")
    torch.manual_seed(1)
    vae = build_autoencoder()
    finished = train_autoencoder(run, sprites, vae)
    if finished:
        whiten(vae.eval(), sprites, run.device)
        _say(f"autoencoder: {measure_psnr(vae, sprites, run.device):.1f} dB")
        vae.cpu().save_pretrained(folder)
    return finished


def encode_scenes(run: Run, amounts: Amounts) -> bool:
    """Latents of training scenes, in latents/."""
    vae = AutoencoderKL.from_pretrained(run.work / "vae").eval().to(run.device, torch.float32)
    return cache_latents(run, load_sprites(run.work / "sprites.pt"), vae, amounts.chunks)


def teach_decoder(run: Run, _: Amounts) -> bool:
    """The decoder alone, in vae_fine/."""
    folder = run.work / "vae_fine"
    if folder.exists():
        return True
    sprites = load_sprites(run.work / "sprites.pt")
    vae = AutoencoderKL.from_pretrained(run.work / "vae").to(memory_format=torch.channels_last)
    finished = train_decoder(run, sprites, vae)
    if finished:
        _say(f"decoder: {measure_psnr(vae.eval(), sprites, run.device):.1f} dB")
        vae.cpu().save_pretrained(folder)
    return finished


def teach_denoiser(run: Run, amounts: Amounts) -> bool:
    """The denoiser with the text encoder; `training.starter.export` reads its checkpoint."""
    tokenizer = load_tokenizer(run.work / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(run.work / "text_encoder").float()  # an exported one is in half
    first = run.work / "unet"
    torch.manual_seed(7)
    unet = UNet2DConditionModel.from_pretrained(first) if first.exists() else build_denoiser()
    return train_denoiser(run, tokenizer, encoder, unet.float(), amounts.unet_steps)


def teach_judge(run: Run, _: Amounts) -> bool:
    """The judge, in plugins/starter/judge."""
    torch.manual_seed(11)
    detector = Detector()
    finished = train_judge(run, load_sprites(run.work / "sprites.pt"), detector)
    if finished:
        save_judge(detector.cpu(), JUDGE_FOLDER)
    return finished


STAGES: Final[dict[str, Stage]] = {
    "sprites": draw_sprites,
    "tokenizer": make_tokenizer,
    "text": teach_text,
    "vae": teach_autoencoder,
    "latents": encode_scenes,
    "decoder": teach_decoder,
    "unet": teach_denoiser,
    "judge": teach_judge,
}


def start_from(exported: Path, work: Path) -> None:
    """Put an exported model's parts where the stages look for theirs, unless they have begun."""
    for part, names in {
        "tokenizer": ("tokenizer",),
        "text_encoder": ("text_encoder",),
        "unet": ("unet",),
        "vae": ("vae", "vae_fine"),
    }.items():
        for name in names:
            if not (work / name).exists():
                shutil.copytree(exported / part, work / name)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main() -> None:
    """Run the stages in order, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=tuple(STAGES), help="only this stage")
    parser.add_argument("--minutes", type=float, help="stop, with a checkpoint, after this time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER)
    parser.add_argument("--init", type=Path, help="begin with the weights of an exported model")
    parser.add_argument("--unet-steps", type=int, default=PLAN.steps)
    parser.add_argument("--chunks", type=int, default=16, help="latent chunks of 2000 scenes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else None
    run = Run(work=options.work, device=torch.device(options.device), deadline=deadline)
    run.work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: run.stopped.set())  # a checkpoint first
    if options.init:
        start_from(options.init, run.work)
    amounts = Amounts(unet_steps=options.unet_steps, chunks=options.chunks)
    for name in (options.stage,) if options.stage else tuple(STAGES):
        _say(f"stage {name}")
        if not STAGES[name](run, amounts):
            _say(f"stopped in stage {name}; the same command goes on from here")
            return


if __name__ == "__main__":
    main()
