"""What the starter model draws in regions that are denoised together, read by the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest, NodeRequest, Plan
from stretto.host.contracts.images import ImageRef
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import starter_path  # noqa: F401

from training.starter.judge import load_judge, read_pictures

CAT = NodeRequest(x=0, w=128, h=128, prompt="a cat on a green background")
DOG = NodeRequest(x=128, w=128, h=128, prompt="a dog on a green background")
Draw = Callable[[Plan], list[Image.Image]]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, starter_path: Any) -> Iterator[Host]:  # noqa: F811
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    import_module("cv2")  # changes the environment when it is first imported, for the ControlNet's edges
    with Host.open(folders, Settings(precision="float32")) as opened:
        # so that the environment is the worker's before a test begins
        opened.run_here(opened.plan(InvocationRequest(prompt="x", num_inference_steps=1)), lambda _: None)
        yield opened


@pytest.fixture(scope="module")
def draw(host: Host) -> Draw:
    def drawn(plan: Plan) -> list[Image.Image]:
        pictures = []
        for name in host.run_here(plan, lambda _: None).images:
            with Image.open(host.folders.images / name) as picture:
                pictures.append(picture.convert("RGB"))
        return pictures

    return drawn


def plan_of(host: Host, *nodes: NodeRequest, **asked: Any) -> Plan:
    values = {
        "seed": 1, "num_inference_steps": 15, "scheduler": "dpmsm", "intermediates": False,
        "width": 256, "height": 128, "region_mode": "latent", **asked,
    }  # fmt: skip
    return host.plan(InvocationRequest(nodes=nodes, **values))


def seen(picture: Image.Image, left: int) -> str | None:
    """Give the surest thing that the judge sees in the 128 px from `left`."""
    part = np.asarray(picture.crop((left, 0, left + 128, 128)), np.float32) / 255
    (reading,) = read_pictures(load_judge(), torch.from_numpy(part).permute(2, 0, 1)[None])
    return reading.sights[0].kind if reading.sights else None


def test_a_cat_left_and_a_dog_right_and_the_record_draws_them_again(host: Host, draw: Draw) -> None:
    plan = plan_of(host, CAT, DOG, samples=2)
    pictures = draw(plan)
    assert [(seen(picture, 0), seen(picture, 128)) for picture in pictures] == [("cat", "dog")] * 2
    again = draw(plan_from_json(plan.to_json()))
    assert [one.tobytes() for one in again] == [one.tobytes() for one in pictures]


def picture(host: Host, name: str) -> ImageRef:
    """Give a stored picture of 128 px: a white square on black."""
    image = Image.new("RGB", (128, 128))
    image.paste((255, 255, 255), (32, 32, 96, 96))
    path = host.folders.inputs / name
    image.save(path)
    return ImageRef(path=str(path), width=128, height=128, mode="RGB", sha256="0")


@pytest.mark.parametrize(
    "more",
    [
        {"width": 256},
        {"image": "image.png", "strength": 0.5},
        {"image": "image.png", "mask": "mask.png", "inpainter": "starter"},
        {"image": "image.png", "mask": "mask.png", "inpainter": "starter-inpainting", "strength": 1.0},
        {"controlnet": "canny", "control_image": "edges.png"},
        {"refiner": "starter", "refiner_start": 0.5},
        {"refiner": "starter", "refiner_strength": 0.5},
        {"tile": (True, True), "noise_offset": 0.1},
    ],
    ids=" ".join,
)
def test_one_region_over_the_canvas_is_the_plain_picture(
    host: Host, draw: Draw, more: dict[str, Any]
) -> None:
    words = "a red circle on a white background"
    asked = {
        name: picture(host, value) if str(value).endswith(".png") else value for name, value in more.items()
    }
    asked = {"width": 128, "num_inference_steps": 4, **asked}
    refined = words if "refiner_strength" in more else "a dog"  # over all of the finished picture
    whole = plan_of(host, NodeRequest(w=asked["width"], h=128, prompt=words), prompt=refined, **asked)
    assert whole.nodes[0].regions
    plain = plan_of(host, prompt=words, **asked)
    assert draw(whole)[0].tobytes() == draw(plain)[0].tobytes()


def test_what_no_region_covers_follows_the_prompt_of_the_whole(host: Host, draw: Draw) -> None:
    (picture,) = draw(plan_of(host, CAT, prompt="a blue background", width=320, num_inference_steps=10))
    levels = np.asarray(picture, dtype=float)
    left, right = levels[:, :16].mean(axis=(0, 1)), levels[:, 176:].mean(axis=(0, 1))
    assert left[1] > left[2] + 50  # green, as its own words say
    assert right[2] > right[1] + 50  # blue
    assert seen(picture, 0) == "cat"


def test_a_region_smaller_than_the_model_lies_where_it_was_asked_for(host: Host, draw: Draw) -> None:
    sun = NodeRequest(x=160, y=32, w=64, h=64, prompt="a red circle on a green background")
    (picture,) = draw(plan_of(host, sun, prompt="a green background", num_inference_steps=10))
    levels = np.asarray(picture, dtype=float)
    redness = levels[..., 0] - levels[..., 1]
    assert redness[56:72, 184:200].mean() > 60
    outside = np.ones(redness.shape, dtype=bool)
    outside[32:96, 160:224] = False
    assert (redness[outside] > 30).mean() < 0.05
