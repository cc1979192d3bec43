"""The starter model under its own canny ControlNet: what it draws has the edges that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401
from stretto.plugins import starter

REACH_PX = 2  # an edge this far off is the same edge
PLACES = ((44, 46, 26), (80, 76, 34), (64, 64, 44))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, starter_path: Any) -> Iterator[Host]:  # noqa: F811
    if not (starter.CONTROLNETS["canny"] / "config.json").is_file():
        pytest.skip(f"no ControlNet in {starter.CONTROLNETS['canny']}")
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    with Host.open(folders, Settings(precision="float32")) as opened:
        draw(opened, num_inference_steps=1)  # so that the environment is the worker's before a test begins
        yield opened


def circle(x: int, y: int, radius: int) -> Image.Image:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(220, 30, 30))
    return image


def edges(image: Image.Image) -> np.ndarray:
    return cv2.Canny(np.asarray(image.convert("RGB")), 100, 200) > 0


def overlap(drawn: Image.Image, wanted: Image.Image) -> float:
    """Give how much the edges of two pictures have in common, of all that either has."""
    near = np.ones((2 * REACH_PX + 1,) * 2, np.uint8)
    one, two = (cv2.dilate(edges(image).astype(np.uint8), near) > 0 for image in (drawn, wanted))
    return float((one & two).sum() / max(1, (one | two).sum()))


def draw(host: Host, **asked: Any) -> Image.Image:
    values = {
        "prompt": "a red circle on a white background", "num_inference_steps": 20, "scheduler": "dpmsm",
        "intermediates": False, "width": 128, "height": 128, **asked,
    }  # fmt: skip
    done = host.run_here(host.plan(InvocationRequest(**values)), lambda _: None)
    with Image.open(host.folders.images / done.images[0]) as picture:
        return picture.convert("RGB")


def test_edges_are_followed(host: Host) -> None:
    with_it, without = [], []
    for seed, place in enumerate(PLACES):
        wanted = circle(*place)
        path = host.folders.inputs / f"{seed}.png"
        wanted.save(path)
        ref = ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")
        with_it.append(overlap(draw(host, seed=seed, controlnet="canny", control_image=ref), wanted))
        without.append(overlap(draw(host, seed=seed), wanted))
    assert np.mean(with_it) > np.mean(without) + 0.15, (with_it, without)


def test_a_scale_of_0_changes_nothing(host: Host) -> None:
    path = host.folders.inputs / "circle.png"
    circle(*PLACES[0]).save(path)
    ref = ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")
    plain = draw(host, seed=1)
    none = draw(host, seed=1, controlnet="canny", control_image=ref, conditioning_scale=0.0)
    assert np.abs(np.asarray(plain, np.int16) - np.asarray(none, np.int16)).max() <= 1


def test_what_is_enlarged_and_drawn_over_keeps_its_edges(host: Host) -> None:
    """From half the model's side to the whole, and drawn over from nearly nothing."""
    followed, free = [], []
    for seed, place in enumerate(PLACES[:2]):
        path = host.folders.inputs / f"small-{seed}.png"
        wanted = circle(*place)
        wanted.resize((64, 64), Image.Resampling.LANCZOS).save(path)
        asked = {
            "image": ImageRef(path=str(path), width=64, height=64, mode="RGB", sha256="0"), "strength": 0.0,
            "width": 64, "height": 64, "outscale": 2, "upscale": ("bicubic",), "seed": seed,
            "upscale_diffusion": True, "upscale_diffusion_steps": (12,), "upscale_diffusion_strength": (0.95,),
            "upscale_diffusion_guidance_scale": (7.0,),
            "upscale_diffusion_prompt": ("a red circle on a white background",),
        }  # fmt: skip
        followed.append(overlap(draw(host, upscale_diffusion_controlnet=("canny",), **asked), wanted))
        free.append(overlap(draw(host, **asked), wanted))
    assert np.mean(followed) > np.mean(free) + 0.15, (followed, free)
