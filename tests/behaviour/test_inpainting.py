"""What repainting does to pictures that the starter model draws: the mask's part changes as asked, the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401

from training.starter.judge import load_judge, read_pictures
from training.starter.world import COLOURS

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

        # so that the environment is the worker's before a test begins
        drawn(prompt="x", num_inference_steps=1)
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


SCENES = (  # a figure and its ground, and what is asked for in its place
    (("blue", "rectangle", "white"), "red", "circle"),
    (("red", "ellipse", "yellow"), "blue", "square"),
    (("purple", "ellipse", "green"), "white", "star"),
)


@pytest.mark.parametrize("inpainter", [None, "starter"])
def test_the_judge_sees_what_was_asked_for_in_the_mask(
    draw: Draw, middle: Image.Image, inpainter: str | None
) -> None:
    """By the inpainter that is found for the starter, and by the starter itself."""
    for seed, ((colour, form, ground), wanted, kind) in enumerate(SCENES):
        picture = Image.new("RGB", (128, 128), COLOURS[ground])
        getattr(ImageDraw.Draw(picture), form)((36, 36, 92, 92), fill=COLOURS[colour])
        (drawn,) = draw(
            prompt=f"a {wanted} {kind} on a {ground} background", image=picture, mask=middle, strength=1.0,
            seed=seed, num_inference_steps=12, inpainter=inpainter,
        )  # fmt: skip
        stays = np.asarray(middle) == 0
        assert (np.asarray(drawn)[stays] == np.asarray(picture)[stays]).all()
        pixels = torch.from_numpy(np.array(drawn)).permute(2, 0, 1)[None].float() / 255
        (reading,) = read_pictures(load_judge(), pixels)
        assert [(sight.kind, sight.colour) for sight in reading.sights] == [(kind, wanted)]
        assert reading.ground == ground


def test_the_starter_brings_an_inpainter(draw: Draw, red: Image.Image, middle: Image.Image) -> None:
    """Found where nobody names one, and usable by its name."""
    asked = {"prompt": "a blue circle on a white background", "image": red, "mask": middle, "strength": 1.0}
    found, named, base = (
        draw(num_inference_steps=6, inpainter=name, **asked)[0]
        for name in (None, "starter-inpainting", "starter")
    )
    assert found.tobytes() == named.tobytes() != base.tobytes()


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


def test_a_strength_of_0_gives_an_image_back(draw: Draw, red: Image.Image) -> None:
    for picture in draw(prompt="a blue circle", image=red, strength=0.0, samples=2):
        assert picture.tobytes() == red.tobytes()


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
