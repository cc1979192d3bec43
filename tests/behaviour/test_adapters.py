"""What the starter's LoRA, LoHa and learnt word change: style by weight, colours by weight, a word's meaning."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host import InvocationRequest
from stretto.host.contracts.request import Adapter
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401

from training.starter.judge import load_judge, read_pictures

Draw = Callable[..., list[Image.Image]]
APART = 40  # of 255: farther from the ground's colour than this is figure
PLAIN = ("a blue square on a yellow background", "a purple diamond on a white background",
         "a black star on a white background")  # fmt: skip


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory, starter_path: Any) -> Iterator[Draw]:  # noqa: F811
    """Give `draw(prompt, **request)` on a host with the starter's companions in its model folders."""
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    for companion, kind, name in (
        ("outline-lora/pytorch_lora_weights.safetensors", "lora", "outline.safetensors"),
        ("pastel-loha/pastel.safetensors", "lycoris", "pastel.safetensors"),
        ("zog-word/learned_embeds.safetensors", "inversion", "zog.safetensors"),
    ):
        path = starter_path.parent / "companions" / companion
        if not path.is_file():
            pytest.skip(f"no {path}")
        shutil.copy(path, folders.model_folder(kind) / name)
    with Host.open(folders, Settings(precision="float32")) as host:

        def drawn(prompt: str, **asked: Any) -> list[Image.Image]:
            values = {
                "prompt": prompt, "seed": 3, "num_inference_steps": 8, "scheduler": "dpmsm",
                "intermediates": False, "width": 128, "height": 128, **asked,
            }  # fmt: skip
            done = host.run_here(host.plan(InvocationRequest(**values)), lambda _: None)
            pictures = []
            for name in done.images:
                with Image.open(folders.images / name) as picture:
                    pictures.append(picture.convert("RGB"))
            return pictures

        drawn("x", num_inference_steps=1)  # so that the environment is the worker's before a test begins
        yield drawn


def of(name: str, weight: float = 1.0) -> tuple[Adapter, ...]:
    return (Adapter(model=name, weight=weight),) if weight else ()


def is_hollow(picture: Image.Image) -> bool:
    """Say whether the ground shows in the middle of the figure."""
    levels = np.asarray(picture, dtype=float)
    ground = np.median(levels[:6].reshape(-1, 3), axis=0)
    figure = np.abs(levels - ground).mean(axis=-1) > APART
    assert figure.mean() > 0.02  # and there is a figure
    row, column = (int(places.mean()) for places in np.nonzero(figure))
    return bool(figure[row - 5 : row + 6, column - 5 : column + 6].mean() < 0.3)


def read(picture: Image.Image) -> tuple[str, list[tuple[str, str]]]:
    """Give the ground and the figures that the judge sees."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    (reading,) = read_pictures(load_judge(), pixels)
    return reading.ground, [(sight.kind, sight.colour) for sight in reading.sights]


def test_a_lora_makes_figures_hollow_at_full_weight(draw: Draw) -> None:
    """At half of it they are as before, for this one: nearly nothing to nearly all lies between."""
    hollow = {
        weight: sum(is_hollow(draw(prompt, lora=of("outline", weight))[0]) for prompt in PLAIN)
        for weight in (0.0, 0.5, 1.0)
    }
    assert hollow[0.0] == 0
    assert hollow[0.5] <= 1
    assert hollow[1.0] == len(PLAIN)


def test_a_weight_changes_a_picture_steadily(draw: Draw) -> None:
    plain, *changed = (
        np.asarray(draw(PLAIN[0], lora=of("outline", weight))[0], dtype=float) for weight in (0.0, 0.3, 0.6)
    )
    moved = [np.abs(one - plain).mean() for one in changed]
    assert 0 < moved[0] < moved[1]


def test_a_loha_makes_colours_lighter_by_weight(draw: Draw) -> None:
    light = []
    for weight in (0.0, 0.5, 1.0):
        pictures = [
            picture
            for prompt in ("a red circle on a blue background", "a green square on a red background")
            for picture in draw(prompt, lycoris=of("pastel", weight))
        ]
        light.append(np.mean([np.asarray(picture) for picture in pictures]) / 255)
    assert light[0] + 0.01 < light[1] < light[2] - 0.05


def test_a_learnt_word_is_a_purple_star_on_yellow(draw: Draw) -> None:
    prompt = "a picture of <zog>"
    with_it = draw(prompt, inversion=of("zog"), samples=2)
    assert [read(picture) for picture in with_it] == [("yellow", [("star", "purple")])] * 2
    without = draw(prompt, samples=2)
    assert all(read(picture) != ("yellow", [("star", "purple")]) for picture in without)


def test_pictures_afterwards_are_those_of_before(draw: Draw) -> None:
    asked = {"prompt": PLAIN[0], "num_inference_steps": 4}
    before = draw(**asked)[0]
    changed = draw(**asked, lora=of("outline"), lycoris=of("pastel"), inversion=of("zog"))[0]
    assert changed.tobytes() != before.tobytes()
    assert draw(**asked)[0].tobytes() == before.tobytes()
