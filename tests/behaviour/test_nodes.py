"""What the starter model draws in the nodes of a canvas, read by the judge: each thing where it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from stretto.host import InvocationRequest, NodeRequest
from stretto.host.contracts.images import ImageRef
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401
from stretto.host.testing.networks import make_tiny_remover

from training.starter.judge import load_judge, read_pictures

Draw = Callable[..., list[Image.Image]]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, starter_path: Any) -> Iterator[Host]:  # noqa: F811
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    with Host.open(folders, Settings(precision="float32")) as opened:
        # so that the environment is the worker's before a test begins
        opened.run_here(opened.plan(InvocationRequest(prompt="x", num_inference_steps=1)), lambda _: None)
        yield opened


@pytest.fixture(scope="module")
def draw(host: Host) -> Draw:
    def drawn(*nodes: NodeRequest, **asked: Any) -> list[Image.Image]:
        values = {
            "seed": 1, "num_inference_steps": 20, "scheduler": "dpmsm", "intermediates": False,
            "width": 256, "height": 128, **asked,
        }  # fmt: skip
        done = host.run_here(host.plan(InvocationRequest(nodes=nodes, **values)), lambda _: None)
        pictures = []
        for name in done.images:
            with Image.open(host.folders.images / name) as picture:
                pictures.append(picture.copy())
        return pictures

    return drawn


def seen(picture: Image.Image, left: int) -> str | None:
    """Give the surest thing that the judge sees in the 128 px from `left`."""
    part = np.asarray(picture.convert("RGB").crop((left, 0, left + 128, 128)), np.float32) / 255
    (reading,) = read_pictures(load_judge(), torch.from_numpy(part).permute(2, 0, 1)[None])
    return reading.sights[0].kind if reading.sights else None


def test_a_cat_left_and_a_dog_right(draw: Draw) -> None:
    pictures = draw(
        NodeRequest(x=0, w=128, h=128, prompt="a cat"),
        NodeRequest(x=128, w=128, h=128, prompt="a dog"),
        prompt="a cat and a dog",
        samples=2,
    )
    assert [(seen(picture, 0), seen(picture, 128)) for picture in pictures] == [("cat", "dog")] * 2


def test_cut_out_and_set_on_one_ground(draw: Draw, host: Host) -> None:
    """The seed's example: three steps, of which the last paints what the first two leave empty."""
    file = make_tiny_remover(host.folders.model_folder("background") / "u2net.onnx")  # what is dark stays
    (picture,) = draw(
        NodeRequest(x=0, w=128, h=128, prompt="a blue circle on a white background", remove_background=True),
        NodeRequest(x=128, w=128, h=128, prompt="a blue star on a white background", remove_background=True),
        prompt="a green background",
    )
    file.unlink()
    assert (seen(picture, 0), seen(picture, 128)) == ("circle", "star")
    levels = np.asarray(picture, dtype=int)
    border = np.concatenate([levels[:8].reshape(-1, 3), levels[-8:].reshape(-1, 3)])
    assert (border[:, 1] - np.maximum(border[:, 0], border[:, 2])).mean() > 30, border.mean(axis=0)


def test_a_laid_image_stays_in_what_is_drawn_around_it(draw: Draw, host: Host) -> None:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((8, 8, 56, 56), fill=(30, 60, 220))
    path = host.folders.inputs / "circle.png"
    image.save(path)
    ref = ImageRef(path=str(path), width=64, height=64, mode="RGB", sha256="0")
    (picture,) = draw(
        NodeRequest(x=32, y=32, image=ref), prompt="a blue circle on a white background", width=128
    )
    assert picture.crop((32, 32, 96, 96)).tobytes() == image.tobytes()
    around = np.asarray(picture, dtype=float)
    around = np.concatenate([around[:24].reshape(-1, 3), around[-24:].reshape(-1, 3)])
    assert around.mean() > 180  # a white ground, where empty cells were grey


def test_an_image_is_drawn_over_where_it_lies(draw: Draw, host: Host) -> None:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((34, 34, 94, 94), fill=(220, 30, 30))
    path = host.folders.inputs / "red.png"
    image.save(path)
    ref = ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")
    node = {"image": ref, "infer": True, "prompt": "a blue circle on a white background"}
    (picture,) = draw(
        NodeRequest(strength=1.0, **node), NodeRequest(x=128, strength=0.1, **node), scheduler="ddim"
    )
    middle = np.asarray(picture, dtype=float)[48:80]
    blueness = [float((middle[:, x : x + 32, 2] - middle[:, x : x + 32, 0]).mean()) for x in (48, 176)]
    assert blueness[0] > 80, blueness
    assert blueness[1] < 0, blueness
