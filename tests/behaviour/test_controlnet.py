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
from stretto.host.planning.replay import found_again
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401
from stretto.plugins import starter

from training.starter.drawing import draw_scenes
from training.starter.sprites import shape_sprites
from training.starter.world import SHAPES, Figure, Scene

REACH_PX = 4  # an edge this far off is the same edge: half a cell of the latents that are drawn
PLACES = ((44, 46, 26), (80, 76, 34), (56, 70, 28))  # of shapes in the sizes that the model knows


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, starter_path: Any) -> Iterator[Host]:  # noqa: F811
    if not (starter.CONTROLNETS["canny"] / "config.json").is_file():
        pytest.skip(f"no ControlNet in {starter.CONTROLNETS['canny']}")
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    with Host.open(folders, Settings(precision="float32")) as opened:
        draw(opened, num_inference_steps=1)  # so that the environment is the worker's before a test begins
        yield opened


def outlined(shape: str, x: int, y: int, radius: int) -> Image.Image:
    """Give a plain red circle, diamond or triangle."""
    image = Image.new("RGB", (128, 128), "white")
    top, bottom, left, right = (x, y - radius), (x, y + radius), (x - radius, y), (x + radius, y)
    if shape == "circle":
        ImageDraw.Draw(image).ellipse((left[0], top[1], right[0], bottom[1]), fill=(220, 30, 30))
    elif shape == "diamond":
        ImageDraw.Draw(image).polygon([top, right, bottom, left], fill=(220, 30, 30))
    else:
        corners = [top, (right[0], bottom[1]), (left[0], bottom[1])]
        ImageDraw.Draw(image).polygon(corners, fill=(220, 30, 30))
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


def shape_pictures() -> dict[str, Image.Image]:
    """Give a red figure of each shape that the model knows, in its three sizes and off the middle."""
    figures = [
        Figure(
            kind=kind,
            colour="red",
            x=0.4 + 0.1 * (i % 3),
            y=0.6 - 0.1 * (i % 3),
            radius=0.22 + 0.04 * (i % 3),
        )
        for i, kind in enumerate(SHAPES)
    ]
    drawn = draw_scenes([Scene(ground="white", figures=(figure,)) for figure in figures], shape_sprites())
    levels = (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return {kind: Image.fromarray(picture) for kind, picture in zip(SHAPES, levels, strict=True)}


def test_edges_are_followed(host: Host) -> None:
    """Over all shapes, what is drawn has the control image's edges, far more than the prompt alone gives."""
    with_it, without = {}, {}
    for seed, (shape, wanted) in enumerate(shape_pictures().items()):
        path = host.folders.inputs / f"{shape}.png"
        wanted.save(path)
        ref = ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")
        asked = {"seed": seed, "prompt": f"a red {shape} on a white background", "num_inference_steps": 12}
        with_it[shape] = overlap(draw(host, **asked, controlnet="canny", control_image=ref), wanted)
        if seed % 4 == 0:
            without[shape] = overlap(draw(host, **asked), wanted)
    assert len(with_it) == 12
    mean = np.mean(list(with_it.values()))
    assert mean >= 0.65, with_it
    assert mean >= 1.5 * np.mean(list(without.values())), (with_it, without)


def test_the_scale_says_how_closely(host: Host) -> None:
    wanted = outlined("circle", *PLACES[1])
    path = host.folders.inputs / "scaled.png"
    wanted.save(path)
    ref = ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")
    asked = {"seed": 2, "num_inference_steps": 8, "controlnet": "canny", "control_image": ref}
    none, half, full = (
        overlap(draw(host, **asked, conditioning_scale=scale), wanted) for scale in (0.0, 0.5, 1.0)
    )
    assert none < half < full


def test_a_scale_of_0_changes_nothing(host: Host) -> None:
    path = host.folders.inputs / "circle.png"
    outlined("circle", *PLACES[0]).save(path)
    ref = ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")
    plain = draw(host, seed=1, num_inference_steps=4)
    none = draw(
        host, seed=1, num_inference_steps=4, controlnet="canny", control_image=ref, conditioning_scale=0.0
    )
    assert np.abs(np.asarray(plain, np.int16) - np.asarray(none, np.int16)).max() <= 1


def test_what_is_enlarged_and_drawn_over_keeps_its_edges(host: Host) -> None:
    """From half the model's side to the whole, and drawn over from nearly nothing."""
    followed, free = [], []
    for seed, place in enumerate(PLACES[:2]):
        path = host.folders.inputs / f"small-{seed}.png"
        wanted = outlined("circle", *place)
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


def test_a_recorded_plan_finds_the_models_own_controlnet_again(host: Host) -> None:
    plan = host.plan(
        InvocationRequest(
            prompt="a red circle", outscale=2, upscale=("bicubic",), upscale_diffusion=True,
            upscale_diffusion_controlnet=("canny",),
        )
    )  # fmt: skip
    (stage,) = plan.upscale
    assert stage.diffusion is not None
    assert stage.diffusion.control is not None
    assert stage.diffusion.control.weights.name == "starter-canny"
    assert found_again(plan, host) == plan
