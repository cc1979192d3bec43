"""Laying pictures over each other, and what they leave empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.plan import Bounds, Node
from stretto.host.engine.fitting import UNSEEN
from stretto.host.engine.layers import Layer, blank, laid_over, landed, reached, rest, settled_picture

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noisy(size: tuple[int, int], seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def alpha_of(layer: Layer) -> np.ndarray:
    return np.asarray(layer.picture.getchannel("A"))


def test_an_opaque_picture_lands_to_the_bit() -> None:
    below = laid_over(blank((40, 30)), Image.new("RGB", (40, 30), RED), (0, 0), exact=False)
    for layer in (blank((40, 30)), below):
        done = laid_over(layer, noisy((16, 16)), (8, 4), exact=True)
        assert done.picture.convert("RGB").crop((8, 4, 24, 20)).tobytes() == noisy((16, 16)).tobytes()
    assert below.picture.getpixel((10, 10)) == (*RED, 255)  # laying changes no canvas that is there


@pytest.mark.parametrize(
    ("at", "seen"),
    [((-8, -4), (0, 0, 8, 12)), ((32, 20), (32, 20, 40, 30)), ((0, 0), (0, 0, 16, 16))],
)
def test_what_lies_outside_is_cut_off(at: tuple[int, int], seen: tuple[int, int, int, int]) -> None:
    layer = laid_over(blank((40, 30)), noisy((16, 16)), at, exact=False)
    assert layer.picture.getchannel("A").getbbox() == seen
    part = noisy((16, 16)).crop((seen[0] - at[0], seen[1] - at[1], seen[2] - at[0], seen[3] - at[1]))
    assert layer.picture.convert("RGB").crop(seen).tobytes() == part.tobytes()


@pytest.mark.parametrize("at", [(40, 0), (0, 30), (-16, 0), (0, -16)])
def test_what_lies_beside_the_canvas_changes_nothing(at: tuple[int, int]) -> None:
    layer = blank((40, 30))
    assert laid_over(layer, noisy((16, 16)), at, exact=False) is layer


def test_later_over_earlier_and_through_what_is_transparent() -> None:
    layer = laid_over(blank((8, 8)), Image.new("RGB", (8, 8), RED), (0, 0), exact=False)
    half = Image.new("RGBA", (8, 8), (*BLUE, 255))
    half.paste((0, 0, 0, 0), (0, 0, 4, 8))
    layer = laid_over(layer, half, (0, 0), exact=True)
    picture = settled_picture(layer)
    assert (picture.mode, picture.getpixel((1, 1)), picture.getpixel((6, 1))) == ("RGB", RED, BLUE)
    assert (layer.soft.getpixel((1, 1)), layer.soft.getpixel((6, 1))) == (255, 0)


def test_what_is_empty_keeps_its_transparency() -> None:
    layer = laid_over(blank((8, 8)), Image.new("RGB", (4, 8), RED), (0, 0), exact=False)
    assert settled_picture(layer).mode == "RGBA"


def test_the_rest_is_what_is_empty() -> None:
    layer = laid_over(blank((64, 32)), noisy((32, 32)), (0, 0), exact=True)
    left = rest(layer, 8)
    assert left is not None
    levels = np.asarray(left.painted)
    assert (levels[:, :32] == 0).all()  # a given picture stays, however far the rest reaches
    assert (levels[:, 32:] == 255).all()
    assert left.picture.crop((0, 0, 32, 32)).tobytes() == noisy((32, 32)).tobytes()
    assert left.picture.getpixel((50, 3)) == UNSEEN


def test_the_rest_reaches_into_what_was_drawn_and_falls() -> None:
    layer = laid_over(blank((64, 32)), noisy((32, 32)), (0, 0), exact=False)
    left = rest(layer, 8)
    assert left is not None
    row = np.asarray(left.painted)[16].astype(int)
    assert (row[32:] == 255).all()
    assert (np.diff(row[23:32]) > 0).all()
    assert (row[:23] == 0).all()


def test_what_is_half_transparent_is_painted_by_half() -> None:
    picture = Image.new("RGBA", (8, 8), (*RED, 155))
    left = rest(laid_over(blank((8, 8)), picture, (0, 0), exact=True), 0)
    assert left is not None
    assert set(left.painted.tobytes()) == {100}
    assert left.picture.getpixel((0, 0)) == RED


def test_nothing_is_left_of_a_full_canvas() -> None:
    assert rest(laid_over(blank((8, 8)), noisy((8, 8)), (0, 0), exact=False), 4) is None


@pytest.mark.parametrize("reach", [0, 1])
def test_a_reach_of_nothing(reach: int) -> None:
    levels = Image.new("L", (8, 8))
    levels.putpixel((4, 4), 255)
    assert reached(levels, reach).tobytes() == levels.tobytes()


def test_where_a_node_lands(tmp_path: Any) -> None:
    image = Image.new("RGBA", (16, 8), (*RED, 255))
    image.paste((0, 0, 0, 0), (8, 0, 16, 8))
    image.save(tmp_path / "a.png")
    ref = ImageRef(path=str(tmp_path / "a.png"), width=16, height=8, mode="RGBA", sha256="")
    values: dict[str, Any] = {
        "bounds": Bounds(left=0, top=0, right=32, bottom=8), "width": 32, "height": 8, "prompt": "",
        "negative_prompt": "", "num_inference_steps": 1, "guidance_scale": 1.0, "strength": 0.5,
    }  # fmt: skip
    assert landed(Node(**values)) is None
    assert landed(Node(**values, image=ref, outpaint=True)) is None
    assert landed(Node(**values, image=ref, children=(Node(**values),))) is None
    levels = landed(Node(**values, image=ref, paste=True))
    assert levels is not None
    assert levels.getbbox() == (0, 0, 8, 8)
    assert landed(Node(**values, image=ref, fit="stretch", paste=True)).getpixel((28, 0)) == 0  # type: ignore[union-attr]
