"""Writes the trained parts as one Stable Diffusion folder in diffusers' layout, in half precision."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTextModel

from training.starter.denoiser import build_denoiser, build_scheduler
from training.starter.text import build_text_encoder
from training.starter.vocabulary import load_tokenizer

MODEL_FOLDER: Final = Path("plugins/starter/model")
WORK_FOLDER: Final = Path("training/.work")
LARGEST_BYTES: Final = 24_000_000


def gather(work: Path) -> StableDiffusionPipeline:
    """The averages so far, as a pipeline; the denoiser's stage need not be finished."""
    tokenizer = load_tokenizer(work / "tokenizer")
    unet, encoder = build_denoiser(), build_text_encoder(tokenizer)
    checkpoint = work / "unet.checkpoint.pt"
    if checkpoint.exists():
        averages = torch.load(checkpoint, map_location="cpu", weights_only=True)["averages"]
        unet.load_state_dict(averages["unet"])
        encoder.load_state_dict(averages["encoder"])
    else:
        encoder = CLIPTextModel.from_pretrained(work / "text_encoder")
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(_latest_autoencoder(work)),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _latest_autoencoder(work: Path) -> Path:
    """The one with the fine-tuned decoder, if there is one."""
    fine = work / "vae_fine"
    return fine if fine.exists() else work / "vae"


def export(work: Path, folder: Path) -> int:
    """Write the folder, keeping its card; returns the weights' size in bytes."""
    pipeline = gather(work).to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    tokenizer = folder / "tokenizer"
    shutil.rmtree(tokenizer)
    shutil.copytree(work / "tokenizer", tokenizer)
    _forget_paths(folder)
    _load_as_single(folder / "text_encoder" / "config.json")
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    if size_bytes > LARGEST_BYTES:
        message = f"{folder} holds {size_bytes} bytes of weights, more than {LARGEST_BYTES}"
        raise RuntimeError(message)
    return size_bytes


def _forget_paths(folder: Path) -> None:
    """Drop the training machine's paths, which diffusers writes as `_name_or_path`."""
    for path in folder.rglob("*.json"):
        config = json.loads(path.read_text())
        if isinstance(config, dict) and "_name_or_path" in config:
            del config["_name_or_path"]
            path.write_text(json.dumps(config, indent=2) + "\n")


def _load_as_single(config_file: Path) -> None:
    """Name the type that diffusers loads the other parts in, or transformers would take the stored half."""
    config = json.loads(config_file.read_text())
    config_file.write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n")


def main() -> None:
    """Export what the work folder holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER)
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER)
    options = parser.parse_args()
    size_bytes = export(options.work, options.out)
    print(f"{options.out}: {size_bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
