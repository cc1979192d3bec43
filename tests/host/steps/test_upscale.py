"""Enlarging with the resamplers."""

from __future__ import annotations

import pytest
from PIL import Image
from stretto.host.contracts.plan import Upscale, UpscaleStage
from stretto.host.contracts.protocols import Frame
from stretto.host.errors import CancelledError, NotFoundError
from stretto.host.steps.dispatch import CoreSteps


def step(method="lanczos", amount=2):
    return Upscale(stage=UpscaleStage(method=method, amount=amount), why="enlarge")


@pytest.mark.parametrize("method", ["lanczos", "bilinear", "bicubic", "nearest"])
def test_every_picture_is_enlarged(studio, method):
    images = (Image.new("RGB", (8, 4), "red"), Image.new("RGB", (8, 4), "blue"))
    frame = CoreSteps().run_step(step(method, 4), Frame(images=images), studio.job().bench)
    assert [image.size for image in frame.images] == [(32, 16)] * 2
    assert [image.getpixel((9, 9)) for image in frame.images] == [(255, 0, 0), (0, 0, 255)]


def test_a_whole_plan_enlarges_what_was_drawn(studio):
    job = studio.job(outscale=2, upscale=("nearest",), width=60)
    frame = studio.run(job)
    assert frame.images[0].size == (120, 128)


def test_an_unknown_method_is_named(studio):
    bench = studio.job().bench
    with pytest.raises(NotFoundError, match="lanczoss"):
        CoreSteps().run_step(step("lanczoss"), Frame(), bench)


def test_a_stopped_job_ends_between_pictures(studio):
    bench = studio.job(cancelled=lambda: True).bench
    with pytest.raises(CancelledError):
        CoreSteps().run_step(step(), Frame(images=(Image.new("RGB", (8, 8)),)), bench)
