"""The starter's world: scenes and captions come from their seed alone, and held-out ones stay out of training."""

import random

import pytest

from training.starter.captions import write_caption
from training.starter.world import (
    COLOURS,
    KINDS,
    Mixture,
    Scene,
    is_held_out,
    sample_scene,
    sample_training_scene,
)

NO_CLASHES: frozenset[tuple[str, str]] = frozenset()


def _scenes(seed: int, count: int) -> list[Scene]:
    rng = random.Random(seed)
    return [sample_scene(rng, Mixture(), NO_CLASHES) for _ in range(count)]


def test_scenes_come_from_their_seed() -> None:
    assert _scenes(3, 50) == _scenes(3, 50)
    assert _scenes(3, 50) != _scenes(4, 50)


def test_training_never_draws_what_is_held_out() -> None:
    rng = random.Random(0)
    drawn = [sample_training_scene(rng, Mixture(), NO_CLASHES) for _ in range(500)]
    assert not any(is_held_out(scene) for scene in drawn)
    assert any(is_held_out(scene) for scene in _scenes(0, 500))


def test_figures_stay_in_the_picture_and_off_their_ground() -> None:
    for scene in _scenes(1, 500):
        for figure in scene.figures:
            assert 0 < figure.x < 1
            assert 0 < figure.y < 1
            assert figure.colour != scene.ground


def test_clashing_things_are_not_drawn() -> None:
    clashes = frozenset(("cat", colour) for colour in COLOURS)
    rng = random.Random(0)
    scenes = [sample_scene(rng, Mixture(thing=1.0), clashes) for _ in range(200)]
    assert "cat" not in {figure.kind for scene in scenes for figure in scene.figures}


def test_complete_captions_tell_everything() -> None:
    rng = random.Random(2)
    for scene in _scenes(2, 200):
        caption = write_caption(scene, rng, complete=True)
        assert caption.ground
        assert all(caption.colours)
        assert caption.place


def test_captions_vary_and_sometimes_leave_facts_out() -> None:
    rng = random.Random(5)
    scene = _scenes(5, 1)[0]
    captions = [write_caption(scene, rng) for _ in range(100)]
    assert len({caption.text for caption in captions}) > 30
    assert not all(caption.ground for caption in captions)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_one_plain_name(kind: str) -> None:
    assert kind == kind.lower()
    assert " " not in kind
