"""Trains what goes with the starter model: a ControlNet, an inpainting UNet, a LoRA, a LoHa and a learnt word."""

import argparse
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from training.starter.adapters import train_loha, train_lora, train_word
from training.starter.controls import train_controlnet, train_inpainting
from training.starter.export import MODEL_FOLDER, WORK_FOLDER
from training.starter.learner import Run
from training.starter.patron import Patron, load_patron

COMPANIONS_FOLDER: Final = Path("plugins/starter/companions")
LARGEST_BYTES: Final = 6_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """One companion: its folder or file, how it is trained, and for how many steps by default."""

    place: str
    train: Callable[[Run, Patron, Path, int], bool]
    steps: int


COMPANIONS: Final[dict[str, Companion]] = {
    "lora": Companion(place="outline-lora", train=train_lora, steps=500),
    "loha": Companion(place="pastel-loha", train=train_loha, steps=400),
    "word": Companion(place="zog-word", train=train_word, steps=250),
    "controlnet": Companion(place="canny-controlnet", train=train_controlnet, steps=5200),
    "inpainting": Companion(place="inpainting-unet", train=train_inpainting, steps=6500),
}


def main() -> None:
    """Train the companions in order, or one of them; running it again goes on from the last checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(COMPANIONS))
    parser.add_argument("--minutes", type=float, help="stop, with a checkpoint, after this time")
    parser.add_argument("--steps", type=int, help="instead of each companion's own number")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER)
    parser.add_argument("--out", type=Path, default=COMPANIONS_FOLDER)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else None
    run = Run(work=options.work, device=torch.device(options.device), deadline=deadline)
    signal.signal(signal.SIGTERM, lambda *_: run.stopped.set())  # a checkpoint first
    for name in (options.only,) if options.only else tuple(COMPANIONS):
        companion = COMPANIONS[name]
        # A fresh patron each time: an adapter changes the UNet it is trained in.
        patron = load_patron(options.model, run)
        folder = options.out / companion.place
        if not companion.train(run, patron, folder, options.steps or companion.steps):
            print(f"stopped in {name}; the same command goes on from here")
            return
        check_size(folder)


def check_size(folder: Path) -> None:
    """Refuse a companion that is too large to ship."""
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    print(f"{folder}: {size_bytes / 1e6:.2f} MB")
    if size_bytes > LARGEST_BYTES:
        message = f"{folder} holds {size_bytes} bytes of weights, more than {LARGEST_BYTES}"
        raise RuntimeError(message)


if __name__ == "__main__":
    main()
