"""Draws the held-out prompts with an exported model and lets the judge read them."""

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from training.starter.captions import write_caption
from training.starter.card import write_card
from training.starter.export import MODEL_FOLDER, WORK_FOLDER
from training.starter.judge import JUDGE_FOLDER, Reading, load_judge, read_pictures
from training.starter.sprites import load_sprites
from training.starter.world import PLACES, SIZE_PX, Figure, Mixture, Scene, is_held_out, sample_scene

SEED: Final = 999
SINGLE_SHAPES: Final = 100
SINGLE_THINGS: Final = 80
PAIRS: Final = 120
STEPS: Final = 20
GUIDANCE: Final = 7.0
BATCH: Final = 20
PLACE_REACH: Final = 0.13
APART: Final = 0.06
SAMPLES_PATH: Final = Path("docs/images/starter-samples.png")

BARS: Final[dict[str, float]] = {
    "ground": 0.98,
    "shape": 0.95,
    "thing": 0.85,
    "colour": 0.98,
    "place": 0.95,
    "both": 0.85,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A held-out scene and its caption."""

    scene: Scene
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an evaluation found: shares by name, how many each is of, and the time of one picture."""

    shares: dict[str, float]
    counts: dict[str, int]
    image_s: float
    threads: int


def pick_prompts(clashes: frozenset[tuple[str, str]], seed: int = SEED) -> list[Prompt]:
    """The 300 prompts: every one of a combination that training never saw."""
    rng = random.Random(seed)
    kinds = (
        (SINGLE_SHAPES, Mixture(two=0.0, thing=0.0)),
        (SINGLE_THINGS, Mixture(two=0.0, thing=1.0)),
        (PAIRS, Mixture(two=1.0)),
    )
    prompts = []
    for count, mixture in kinds:
        for _ in range(count):
            scene = sample_scene(rng, mixture, clashes)
            while not is_held_out(scene):
                scene = sample_scene(rng, mixture, clashes)
            prompts.append(Prompt(scene=scene, text=write_caption(scene, rng, complete=True).text))
    return prompts


def draw_prompts(pipeline: StableDiffusionPipeline, texts: list[str], steps: int, guidance: float) -> Tensor:
    """Pictures (n, 3, 128, 128) in 0..1; picture i has seed i."""
    pictures = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        drawn = pipeline(
            batch,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=SIZE_PX,
            width=SIZE_PX,
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(batch))],
            output_type="pt",
        ).images
        pictures.append(drawn.float().cpu())
    return torch.cat(pictures)


def mark(scene: Scene, reading: Reading) -> dict[str, bool]:
    """What of a scene the picture shows; only what the scene asks for is in the answer."""
    marks = {"ground": reading.ground == scene.ground}
    found = _match(scene.figures, reading)
    counted = len(reading.sights) == len(scene.figures)
    for figure, sight in zip(scene.figures, found, strict=True):
        if sight is not None and figure.colour:
            marks["colour"] = marks.get("colour", True) and reading.sights[sight].colour == figure.colour
    if len(scene.figures) == 1:
        marks["thing" if scene.figures[0].colour is None else "shape"] = found[0] is not None and counted
    else:
        marks["both"] = None not in found and counted and marks.get("colour", True)
    if None not in found and (scene.relation or scene.place):
        marks["place"] = _placed(scene, reading, [index for index in found if index is not None])
    marks["all"] = all(marks.values())
    return marks


def _match(figures: tuple[Figure, ...], reading: Reading) -> list[int | None]:
    """The sight of each figure's kind."""
    free = list(range(len(reading.sights)))
    found: list[int | None] = []
    for figure in figures:
        same = [i for i in free if reading.sights[i].kind == figure.kind]
        # Two figures of one kind are told apart by colour where they can be.
        same.sort(key=lambda i: reading.sights[i].colour != figure.colour)
        found.append(same[0] if same else None)
        free = [i for i in free if i not in same[:1]]
    return found


def _placed(scene: Scene, reading: Reading, found: list[int]) -> bool:
    sights = [reading.sights[index] for index in found]
    if scene.relation is None:
        x, y = PLACES[scene.place or "centre"]
        return abs(sights[0].x - x) < PLACE_REACH and abs(sights[0].y - y) < PLACE_REACH
    across, down = sights[1].x - sights[0].x, sights[1].y - sights[0].y
    gaps = {
        "left of": across,
        "right of": -across,
        "above": down,
        "below": -down,
        "and": max(abs(across), abs(down)),
    }
    return gaps[scene.relation] > APART


def tally(marks: list[dict[str, bool]]) -> tuple[dict[str, float], dict[str, int]]:
    """Shares and counts by name."""
    rights: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for each in marks:
        for name, right in each.items():
            rights[name] += right
            counts[name] += 1
    return {name: rights[name] / count for name, count in counts.items()}, dict(counts)


def time_picture(pipeline: StableDiffusionPipeline, text: str) -> float:
    """Seconds of one picture, the model loaded and warm; the best of three."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        pipeline(text, num_inference_steps=STEPS, guidance_scale=GUIDANCE, height=SIZE_PX, width=SIZE_PX)
        taken.append(time.perf_counter() - began)
    return min(taken)


def save_sheet(pictures: Tensor, path: Path, columns: int = 10, rows: int = 6) -> None:
    """A sheet of pictures from all over the prompts."""
    chosen = pictures[torch.linspace(0, len(pictures) - 1, columns * rows).long()]
    grid = chosen.reshape(rows, columns, 3, SIZE_PX, SIZE_PX).permute(0, 3, 1, 4, 2)
    grid = grid.reshape(rows * SIZE_PX, columns * SIZE_PX, 3)
    image = Image.fromarray((grid * 255).round().byte().numpy()).resize((columns * 92, rows * 92))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def load_pipeline(folder: Path, device: str) -> StableDiffusionPipeline:
    """The exported model in single precision, quiet."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def evaluate(folder: Path, work: Path, device: str, judge: Path = JUDGE_FOLDER) -> tuple[Figures, Tensor]:
    """Figures of the model in `folder`, and its pictures."""
    prompts = pick_prompts(load_sprites(work / "sprites.pt").clashes)
    pipeline = load_pipeline(folder, device)
    pictures = draw_prompts(pipeline, [prompt.text for prompt in prompts], STEPS, GUIDANCE)
    readings = read_pictures(load_judge(judge), pictures)
    marks = [mark(prompt.scene, reading) for prompt, reading in zip(prompts, readings, strict=True)]
    shares, counts = tally(marks)
    image_s = time_picture(pipeline, prompts[0].text)
    return Figures(shares=shares, counts=counts, image_s=image_s, threads=torch.get_num_threads()), pictures


def main() -> None:
    """Print the table, write the card, and fail below a bar if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a figure is below its bar")
    parser.add_argument(
        "--card", action="store_true", help="write the figures into the model's card, and the samples"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures, pictures = evaluate(options.model, options.work, options.device)
    for name, share in sorted(figures.shares.items()):
        bar = f"bar {BARS[name]:.0%}" if name in BARS else ""
        print(f"{name:8s} {share:7.1%} of {figures.counts[name]:3d}  {bar}")
    speed = f"{figures.image_s:.2f} s on {figures.threads} CPU {'core' if figures.threads == 1 else 'cores'}"
    print(f"one picture {speed}")
    if options.card:
        save_sheet(pictures, SAMPLES_PATH)
        write_card(options.model, figures.shares, figures.counts, speed, BARS)
    if options.check and any(figures.shares[name] < bar for name, bar in BARS.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
