"""The judge reads renders right, and the marks follow from what it reads."""

import random
from pathlib import Path

import pytest
import torch

from training.starter.drawing import draw_scenes
from training.starter.evaluate import mark, pick_prompts, tally
from training.starter.judge import JUDGE_FOLDER, Reading, Sight, load_judge, read_pictures
from training.starter.sprites import EMOJI_FONT, build_sprites
from training.starter.world import Figure, Mixture, Scene, is_held_out, sample_scene

needs_font = pytest.mark.skipif(
    not EMOJI_FONT.exists(), reason="the things are drawn from fonts-noto-color-emoji"
)
CHECKOUT = Path(__file__).parents[2]


def _pair() -> Scene:
    return Scene(
        ground="green",
        figures=(
            Figure(kind="cat", colour=None, x=0.27, y=0.5, radius=0.2),
            Figure(kind="star", colour="red", x=0.73, y=0.5, radius=0.18),
        ),
        relation="left of",
    )


def _sight(kind: str, x: float, colour: str = "red") -> Sight:
    return Sight(kind=kind, colour=colour, x=x, y=0.5, sure=0.9)


@needs_font
def test_pictures_come_from_their_seed() -> None:
    sprites = build_sprites()
    scenes = [sample_scene(random.Random(i), Mixture(), sprites.clashes) for i in range(6)]
    first, second = (draw_scenes(scenes, sprites, random.Random(1)) for _ in range(2))
    assert first.shape == (6, 3, 128, 128)
    assert torch.equal(first, second)


@needs_font
def test_the_judge_reads_renders() -> None:
    sprites = build_sprites()
    prompts = pick_prompts(sprites.clashes)[::3]
    assert all(is_held_out(prompt.scene) for prompt in prompts)
    pictures = torch.cat([draw_scenes([prompt.scene], sprites) for prompt in prompts])
    readings = read_pictures(load_judge(CHECKOUT / JUDGE_FOLDER), pictures)
    shares, _ = tally([mark(p.scene, r) for p, r in zip(prompts, readings, strict=True)])
    assert shares["all"] >= 0.98


def test_everything_right_is_marked_right() -> None:
    reading = Reading(ground="green", sights=(_sight("star", 0.7), _sight("cat", 0.3, "yellow")))
    assert mark(_pair(), reading) == {
        "ground": True,
        "colour": True,
        "both": True,
        "place": True,
        "all": True,
    }


@pytest.mark.parametrize(
    ("reading", "wrong"),
    [
        (Reading(ground="blue", sights=(_sight("star", 0.7), _sight("cat", 0.3))), "ground"),
        (Reading(ground="green", sights=(_sight("star", 0.3), _sight("cat", 0.7))), "place"),
        (Reading(ground="green", sights=(_sight("star", 0.7, "blue"), _sight("cat", 0.3))), "colour"),
        (Reading(ground="green", sights=(_sight("star", 0.7),)), "both"),
        (
            Reading(ground="green", sights=(_sight("star", 0.7), _sight("cat", 0.3), _sight("dog", 0.9))),
            "both",
        ),
    ],
)
def test_each_fault_is_marked(reading: Reading, wrong: str) -> None:
    marks = mark(_pair(), reading)
    assert not marks[wrong]
    assert not marks["all"]
