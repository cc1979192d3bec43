"""Where images and masks land on a canvas, by their pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.plan import Bounds, Node
from stretto.host.engine.fitting import back_to, coverage, cut, fill_up, flat, lay, surface
from stretto.host.geometry import ANCHORS, FITS


def node(width, height, **more):
    return Node(
        bounds=Bounds(left=0, top=0, right=width, bottom=height), width=width, height=height, prompt="",
        negative_prompt="", num_inference_steps=1, guidance_scale=1.0, strength=1.0, **more,
    )  # fmt: skip


def quarters(width, height):
    """Give a picture of four colours: which of them shows where tells what was cut and placed."""
    levels = np.zeros((height, width, 3), np.uint8)
    levels[: height // 2, : width // 2] = (250, 10, 10)
    levels[: height // 2, width // 2 :] = (10, 250, 10)
    levels[height // 2 :, : width // 2] = (10, 10, 250)
    levels[height // 2 :, width // 2 :] = (250, 250, 10)
    return Image.fromarray(levels)


def stored(tmp_path, image, name):
    image.save(tmp_path / f"{name}.png")
    return SimpleNamespace(path=str(tmp_path / f"{name}.png"), width=image.width, height=image.height)


def expected_box(source, target, fit, anchor):
    """Say by hand where a picture comes to lie: (left, top, width, height), also outside of the canvas."""
    width, height = source
    if fit == "stretch":
        width, height = target
    elif fit != "actual":
        ratios = target[0] / width, target[1] / height
        scale = min(ratios) if fit == "contain" else max(ratios)
        width, height = round(width * scale), round(height * scale)
    row, _, column = anchor.partition("-")
    left = {"left": 0, "center": int((target[0] - width) / 2), "right": target[0] - width}[column]
    top = {"top": 0, "center": int((target[1] - height) / 2), "bottom": target[1] - height}[row]
    return left, top, width, height


@pytest.mark.parametrize("size", [(40, 80), (96, 48), (200, 120)])
@pytest.mark.parametrize("anchor", ANCHORS)
@pytest.mark.parametrize("fit", FITS)
def test_every_fit_at_every_anchor(fit, anchor, size):
    laid = lay(quarters(*size), node(96, 64, fit=fit, anchor=anchor))
    left, top, width, height = expected_box(size, (96, 64), fit, anchor)
    there = np.zeros((64, 96), bool)
    there[max(top, 0) : top + height, max(left, 0) : left + width] = True
    assert ((np.asarray(laid)[..., 3] == 255) == there).all()
    ref = SimpleNamespace(mode="RGB", width=size[0], height=size[1])
    alpha = coverage(node(96, 64, fit=fit, anchor=anchor, image=ref))
    assert alpha.tobytes() == laid.getchannel("A").tobytes()
    pixels = np.asarray(flat(laid)).astype(int)
    scaled = np.asarray(quarters(*size).resize((width, height), Image.Resampling.LANCZOS)).astype(int)
    rows, columns = np.nonzero(there)
    shift = scaled[np.clip(rows - top, 0, height - 1), np.clip(columns - left, 0, width - 1)]
    assert (pixels[rows, columns] == shift).all()
    assert (pixels[~there] == 0).all()


def test_a_mask_is_laid_like_the_image(tmp_path):
    image, mask = quarters(32, 32), Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    refs = {"image": stored(tmp_path, image, "image"), "mask": stored(tmp_path, mask, "mask")}
    _, painted = surface(node(128, 64, fit="contain", anchor="center-right", **refs))
    levels = np.asarray(painted)
    assert (levels[:, :64] == 0).all()
    assert (levels[:, 64:94] == 255).all()
    assert (levels[:, 98:] == 0).all()


def test_an_inverted_mask_leaves_what_it_does_not_reach(tmp_path):
    refs = {
        "image": stored(tmp_path, quarters(64, 64), "image"),
        "mask": stored(tmp_path, Image.new("L", (32, 64)), "mask"),
    }
    _, painted = surface(node(64, 64, invert_mask=True, **refs))
    levels = np.asarray(painted)
    assert (levels[:, :32] == 255).all()
    assert (levels[:, 32:] == 0).all()


def test_what_is_empty_is_repainted_and_grey(tmp_path):
    image = quarters(64, 64).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((64, 64)))
    ref = stored(tmp_path, image, "image")
    picture, painted = surface(node(80, 64, image=ref, outpaint=True))
    there = np.zeros((64, 80), bool)
    there[:, :64] = np.asarray(image)[..., 3] > 128
    assert (np.asarray(painted) == np.where(there, 0, 255)).all()
    pixels = np.asarray(picture)
    assert (pixels[~there] == 127).all()
    assert (pixels[:, :64][there[:, :64]] == np.asarray(quarters(64, 64))[there[:, :64]]).all()


@pytest.mark.parametrize("fit", FITS)
def test_coverage_is_the_alpha_of_what_is_laid(tmp_path, fit):
    image = quarters(50, 40).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((50, 40)))
    ref = stored(tmp_path, image, "image")
    ref.mode = "RGBA"
    asked = node(96, 64, fit=fit, anchor="center-right", image=ref)
    assert coverage(asked).tobytes() == lay(image, asked).getchannel("A").tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "RGB"])
def test_masks_of_every_mode(tmp_path, mode):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 16, 64))
    refs = {
        "image": stored(tmp_path, quarters(64, 64), "image"),
        "mask": stored(tmp_path, mask.convert(mode), "mask"),
    }
    _, painted = surface(node(64, 64, **refs))
    assert (np.asarray(painted) == np.asarray(mask)).all()


def test_a_transparent_part_of_a_mask_stays(tmp_path):
    refs = {
        "image": stored(tmp_path, quarters(64, 64), "image"),
        "mask": stored(tmp_path, Image.new("RGBA", (64, 64), (255, 255, 255, 0)), "mask"),
    }
    assert surface(node(64, 64, **refs))[1].getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("size", "canvas_px"), [((60, 50), (56, 64)), ((64, 64), (64, 64)), ((40, 40), (96, 96))]
)
def test_there_and_back(size, canvas_px):
    image = quarters(*size)
    there = fill_up(image, canvas_px)
    assert there.size == canvas_px[::-1]
    back = back_to(there, size)
    assert back.size == size
    if size != (40, 40):  # that one is scaled
        assert back.tobytes() == image.tobytes()


def test_an_area_is_cut_out_of_a_picture():
    image = quarters(64, 64)
    assert cut(image, Bounds(left=0, top=0, right=64, bottom=64)) is image
    piece = cut(image, Bounds(left=32, top=0, right=64, bottom=32))
    assert piece.getcolors() == [(1024, (10, 250, 10))]
