"""What repainting does to pictures that the starter model draws: the mask's part changes as asked, the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401

Draw = Callable[..., list[Image.Image]]


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory, starter_path: Any) -> Iterator[Draw]:  # noqa: F811
    """Give `draw(**request)`; pictures among the values are stored first."""
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()

    def stored(image: Image.Image) -> ImageRef:
        path = folders.inputs / f"{len(list(folders.inputs.iterdir()))}.png"
        image.save(path)
        return ImageRef(path=str(path), width=image.width, height=image.height, mode=image.mode, sha256="0")

    with Host.open(folders, Settings(precision="float32")) as host:

        def drawn(**asked: Any) -> list[Image.Image]:
            values = {
                "seed": 5,
                "num_inference_steps": 20,
                "intermediates": False,
                "scheduler": "dpmsm",
                **asked,
            }
            refs = {k: stored(v) if isinstance(v, Image.Image) else v for k, v in values.items()}
            done = host.run_here(host.plan(InvocationRequest(**refs)), lambda _: None)
            pictures = []
            for name in done.images:
                with Image.open(folders.images / name) as picture:
                    pictures.append(picture.convert("RGB"))
            return pictures

        yield drawn


@pytest.fixture(scope="module")
def red(draw: Draw) -> Image.Image:
    (picture,) = draw(prompt="a red circle on a white background")
    return picture


@pytest.fixture(scope="module")
def middle() -> Image.Image:
    mask = Image.new("L", (128, 128))
    mask.paste(255, (16, 16, 112, 112))
    return mask


def blueness(image: Image.Image) -> float:
    """Give how much bluer than red the middle of a picture is, from -255 to 255."""
    levels = np.asarray(image, dtype=float)[52:76, 52:76]
    return float((levels[..., 2] - levels[..., 0]).mean())


def test_only_the_mask_changes_and_as_it_was_told(draw: Draw, red: Image.Image, middle: Image.Image) -> None:
    pictures = draw(
        prompt="a blue circle on a white background", image=red, mask=middle, strength=1.0, samples=2
    )
    stays = np.asarray(middle) == 0
    for picture in pictures:
        assert (np.asarray(picture)[stays] == np.asarray(red)[stays]).all()
    assert blueness(red) < -80
    assert max(blueness(picture) for picture in pictures) > 50


def test_an_inverted_mask_keeps_the_middle(draw: Draw, red: Image.Image, middle: Image.Image) -> None:
    (picture,) = draw(
        prompt="a red circle on a green background", image=red, mask=middle, invert_mask=True, strength=1.0
    )
    stays = np.asarray(middle) == 255
    assert (np.asarray(picture)[stays] == np.asarray(red)[stays]).all()
    moved = np.abs(np.asarray(picture).astype(int) - np.asarray(red))[~stays]
    assert moved.mean() > 10


def test_strength_says_how_much_of_the_mask_changes(
    draw: Draw, red: Image.Image, middle: Image.Image
) -> None:
    asked = {"prompt": "a blue circle on a white background", "image": red, "mask": middle}
    none, little, full = (
        draw(strength=strength, scheduler="ddim", **asked)[0] for strength in (0.0, 0.1, 1.0)
    )
    assert none.tobytes() == red.tobytes()
    assert blueness(red) < blueness(little) < blueness(full)


def test_a_part_of_a_larger_canvas_is_repainted_by_itself(draw: Draw, red: Image.Image) -> None:
    canvas = Image.new("RGB", (320, 256), red.getpixel((2, 2)))
    canvas.paste(red, (150, 90))
    mask = Image.new("L", canvas.size)
    mask.paste(255, (166, 106, 262, 202))
    (picture,) = draw(prompt="a blue circle on a white background", image=canvas, mask=mask, strength=1.0)
    stays = np.asarray(mask) == 0
    assert (np.asarray(picture)[stays] == np.asarray(canvas)[stays]).all()
    assert blueness(picture.crop((150, 90, 278, 218))) > 50


def test_outpainting_goes_on_where_the_image_ends(draw: Draw, red: Image.Image) -> None:
    (picture,) = draw(
        prompt="a red circle on a white background", image=red, width=192, height=128, anchor="top-center"
    )
    assert picture.crop((32, 0, 160, 128)).tobytes() == red.tobytes()
    edges = np.asarray(picture, dtype=float)[:, [*range(8), *range(184, 192)]]
    assert edges.mean() > 150  # a white ground, where empty cells were black or grey
