"""Input images on the canvas, results cut to size."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.plan import Bounds, Node
from stretto.host.errors import EngineError
from stretto.host.steps.canvas import canvas_px, cropped, input_image


def node(image=None, width=64, height=64, fit=None, anchor=None, **more):
    return Node(
        bounds=Bounds(left=0, top=0, right=width, bottom=height), width=width, height=height, prompt="",
        negative_prompt="", num_inference_steps=1, guidance_scale=1.0, strength=1.0,
        image=image, fit=fit, anchor=anchor, **more,
    )  # fmt: skip


def test_the_canvas_is_whole_cells():
    assert canvas_px(node(width=100, height=64)) == (64, 104)
    assert canvas_px(node(width=1, height=8)) == (8, 8)


def test_results_are_cut_to_what_was_asked():
    drawn = Image.new("RGB", (104, 64))
    assert cropped(drawn, node(width=100, height=61)).size == (100, 61)
    assert cropped(drawn, node(width=104, height=64)) is drawn


def test_an_image_of_the_right_size_is_used_as_it_is(reference, ramp):
    laid = input_image(node(reference(ramp), 80, 56))
    assert laid.tobytes() == ramp.tobytes()


@pytest.mark.parametrize(
    ("fit", "anchor", "empty"),
    [
        ("actual", "top-left", (slice(56, 64), slice(0, 64))),
        ("contain", "bottom-center", (slice(0, 18), slice(0, 64))),
        ("cover", "center-center", None),
        ("stretch", None, None),
    ],
)
def test_fit_and_anchor(reference, ramp, fit, anchor, empty):
    full = Image.new("RGB", ramp.size, (9, 200, 90))
    laid = np.asarray(input_image(node(reference(full), 64, 64, fit, anchor)))
    assert laid.shape == (64, 64, 3)
    black = (laid == 0).all(axis=-1)
    assert black.any() == (empty is not None)
    if empty:
        assert black[empty].all()


def test_what_is_transparent_is_black(reference):
    image = Image.new("RGBA", (64, 64), (250, 250, 250, 0))
    image.paste((10, 20, 30, 255), (0, 0, 32, 64))
    laid = np.asarray(input_image(node(reference(image))))
    assert (laid[:, :32] == (10, 20, 30)).all()
    assert (laid[:, 32:] == 0).all()


@pytest.mark.parametrize("mode", ["L", "P", "LA", "CMYK", "I;16", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    source = Image.new("L", (64, 64), 200)
    suffix = "tiff" if mode == "CMYK" else "png"
    path = tmp_path / f"picture.{suffix}"
    source.convert(mode).save(path)
    laid = input_image(node(SimpleNamespace(path=str(path))))
    assert laid.mode == "RGB"
    assert laid.size == (64, 64)


def test_cells_that_are_covered_in_part_repeat_the_edge(reference):
    image = Image.new("RGB", (60, 50), (50, 100, 150))
    laid = np.asarray(input_image(node(reference(image), 60, 50)))
    assert laid.shape == (56, 64, 3)
    assert (laid == (50, 100, 150)).all()


def test_a_lost_file_is_named(tmp_path):
    with pytest.raises(EngineError, match=r"gone\.png"):
        input_image(node(SimpleNamespace(path=str(tmp_path / "gone.png"))))
