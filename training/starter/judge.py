"""An independent judge of the starter's pictures: a small detector trained on renders, and rules that read pixels."""

import argparse
import json
import math
import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from training.starter.drawing import draw_scenes
from training.starter.learner import Learner, Plan, Run
from training.starter.sprites import Sprites, load_sprites
from training.starter.world import COLOURS, KINDS, SIZE_PX, Mixture, Scene, sample_scene

JUDGE_FOLDER: Final = Path("plugins/starter/judge")
PLAN: Final = Plan(name="judge", steps=2000, rate=2e-3, fall_from=0.4, ema=0.99, seed=11)
BATCH: Final = 32
STRIDE_PX: Final = 8
CELLS: Final = SIZE_PX // STRIDE_PX
NOTHING: Final = len(KINDS)
IGNORED: Final = -100
SURE: Final = 0.5
REACH_CELLS: Final = 2.6  # a figure's centre is the mean of its chances this far around the peak
ALONE_CELLS: Final = 4.5  # a second peak nearer than this belongs to the same figure; pairs stand 6.7 apart
WINDOW_PX: Final = 22
BORDER_PX: Final = 5
APART: Final = 0.25  # in RGB: farther from the ground's colour than this is figure

_COLOUR_NAMES: Final = tuple(COLOURS)


class Detector(nn.Module):
    """Which kind's centre each cell of 8 x 8 pixels holds, if any."""

    def __init__(self) -> None:
        """Three strided convolutions, and three dilated ones that see a whole large figure."""
        super().__init__()
        widths = (3, 24, 48, 96)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.GroupNorm(8, wide), nn.SiLU()]
        for dilation in (1, 2, 4):
            layers += [
                nn.Conv2d(96, 96, 3, padding=dilation, dilation=dilation),
                nn.GroupNorm(8, 96),
                nn.SiLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(96, NOTHING + 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (batch, kinds + 1, 16, 16) of pictures in 0..1."""
        logits: Tensor = self.layers(pictures * 2 - 1)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One figure the judge sees; the centre in fractions of the picture's side."""

    kind: str
    colour: str
    x: float
    y: float
    sure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the judge sees in one picture, the surest figure first."""

    ground: str
    sights: tuple[Sight, ...]


def train_judge(run: Run, sprites: Sprites, detector: Detector) -> bool:
    """Train on renders only: the judge never sees a picture the model has drawn."""
    learner = Learner(run, PLAN, {"judge": detector}, {})
    mixture = Mixture(two=0.6)
    for _ in learner.steps():
        scenes = [sample_scene(learner.rng, mixture, sprites.clashes) for _ in range(BATCH)]
        pictures = _spoil(draw_scenes(scenes, sprites, learner.rng), learner.rng)
        targets = torch.stack([_target(scene) for scene in scenes])
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.half):
            logits = detector(pictures.to(run.device))
        weights = torch.ones(NOTHING + 1, device=run.device)
        weights[NOTHING] = 0.3  # most cells hold nothing
        learner.update(
            functional.cross_entropy(logits.float(), targets.to(run.device), weights, ignore_index=IGNORED)
        )
    detector.load_state_dict(learner.averages["judge"].state_dict())
    return learner.finished


def _target(scene: Scene) -> Tensor:
    """The kind's index around each centre, nothing far from all, and a ring between that does not count."""
    axis = (torch.arange(CELLS) + 0.5) / CELLS
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    target = torch.full((CELLS, CELLS), NOTHING)
    for figure in scene.figures:
        far = ((x - figure.x).square() + (y - figure.y).square()).sqrt()
        target[(far < figure.radius * 0.55 + 0.02) & (target == NOTHING)] = IGNORED
        target[far < max(figure.radius * 0.35, 0.05)] = KINDS.index(figure.kind)
    return target


def _spoil(pictures: Tensor, rng: random.Random) -> Tensor:
    """Soften some and add noise to some, as a decoder does."""
    if rng.random() < 0.5:
        size = rng.choice((64, 80, 96))
        small = functional.interpolate(pictures, (size, size), mode="area")
        pictures = functional.interpolate(small, (SIZE_PX, SIZE_PX), mode="bilinear")
    gain = 1 + torch.randn(len(pictures), 1, 1, 1) * 0.05
    return (pictures * gain + torch.randn_like(pictures) * rng.choice((0.0, 0.02, 0.05))).clamp(0, 1)


@torch.no_grad()
def read_pictures(detector: Detector, pictures: Tensor) -> list[Reading]:
    """Readings of pictures (batch, 3, 128, 128) in 0..1."""
    chances = detector(pictures.float()).softmax(1)
    return [_read(picture, chance) for picture, chance in zip(pictures.float(), chances, strict=True)]


def _read(picture: Tensor, chances: Tensor) -> Reading:
    palette = torch.tensor([COLOURS[name] for name in _COLOUR_NAMES]) / 255
    nearest = (picture.permute(1, 2, 0)[:, :, None] - palette).square().sum(-1).argmin(-1)
    border = torch.ones_like(nearest, dtype=torch.bool)
    border[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
    ground = int(nearest[border].mode().values)
    apart = (picture - palette[ground][:, None, None]).norm(dim=0) > APART
    sights = tuple(
        Sight(
            kind=KINDS[kind], colour=_colour_near(nearest, apart, x, y), x=x / CELLS, y=y / CELLS, sure=sure
        )
        for kind, x, y, sure in _peaks(chances)
    )
    return Reading(ground=_COLOUR_NAMES[ground], sights=sights)


def _peaks(chances: Tensor) -> list[tuple[int, float, float, float]]:
    """Kind, centre in cells and chance of each figure, the surest first."""
    kinds = chances[:NOTHING].clone()
    smooth = functional.avg_pool2d(kinds[None], 3, 1, 1, count_include_pad=False)[0]
    axis = torch.arange(CELLS)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    peaks: list[tuple[int, float, float, float]] = []
    while len(peaks) < 4:
        best = int(smooth.argmax())
        kind, row, column = best // CELLS**2, best // CELLS % CELLS, best % CELLS
        far = ((rows - row).square() + (columns - column).square()).sqrt()
        near = far < REACH_CELLS
        sure = float(kinds[kind][near].max())
        if sure < SURE:
            break
        mass = kinds[kind] * near
        x = float((mass * (columns + 0.5)).sum() / mass.sum())
        y = float((mass * (rows + 0.5)).sum() / mass.sum())
        peaks.append((kind, x, y, sure))
        smooth[:, far < ALONE_CELLS] = 0
        kinds[:, far < ALONE_CELLS] = 0
    return peaks


def _colour_near(nearest: Tensor, apart: Tensor, x: float, y: float) -> str:
    """The commonest colour of the figure's pixels around a centre given in cells."""
    column, row = math.floor(x * STRIDE_PX), math.floor(y * STRIDE_PX)
    window = (
        slice(max(0, row - WINDOW_PX), row + WINDOW_PX),
        slice(max(0, column - WINDOW_PX), column + WINDOW_PX),
    )
    seen = nearest[window][apart[window]]
    return _COLOUR_NAMES[int(seen.mode().values)] if len(seen) else "none"


def save_judge(detector: Detector, folder: Path) -> None:
    """Write the detector in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.half().contiguous() for name, value in detector.state_dict().items()},
        folder / "judge.safetensors",
    )
    (folder / "config.json").write_text(json.dumps({"kinds": KINDS, "size_px": SIZE_PX}, indent=2) + "\n")


def load_judge(folder: Path = JUDGE_FOLDER) -> Detector:
    """The stored detector, in single precision."""
    detector = Detector()
    detector.load_state_dict(
        {name: value.float() for name, value in load_file(folder / "judge.safetensors").items()}
    )
    return detector.eval()


def main() -> None:
    """Train the judge and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--out", type=Path, default=JUDGE_FOLDER)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = Detector()
    train_judge(
        Run(work=options.work, device=torch.device(options.device)),
        load_sprites(options.work / "sprites.pt"),
        detector,
    )
    save_judge(detector.cpu(), options.out)


if __name__ == "__main__":
    main()
