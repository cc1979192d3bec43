"""Enlarging with the resamplers."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.plan import UpscaleStage
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import Upscale
from stretto.host.errors import (
    CancelledError,
    InvalidRequestError,
    NotFoundError,
    WeightsError,
)
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.testing.networks import make_tiny_esrgan


def step(method="lanczos", amount=2):
    return Upscale(stage=UpscaleStage(method=method, amount=amount), why="enlarge")


@pytest.mark.parametrize("method", ["lanczos", "bilinear", "bicubic", "nearest"])
def test_every_picture_is_enlarged(studio, method):
    images = (Image.new("RGB", (8, 4), "red"), Image.new("RGB", (8, 4), "blue"))
    frame = CoreSteps().run_step(step(method, 4), Frame(images=images), studio.job().bench)
    assert [image.size for image in frame.images] == [(32, 16)] * 2
    assert [image.getpixel((9, 9)) for image in frame.images] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize("tile", [(True, False), (False, True), (True, True)])
def test_a_seamless_picture_stays_so(studio, tile):
    """Rolled by half and enlarged is enlarged and rolled, where no border is in the way."""
    levels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    bench = studio.job(tile=tile, width=40, height=24).bench
    shift = (12 if tile[1] else 0, 20 if tile[0] else 0)
    pictures = Image.fromarray(levels), Image.fromarray(np.roll(levels, shift, (0, 1)))
    plain, rolled = CoreSteps().run_step(step("bicubic"), Frame(images=pictures), bench).images
    assert plain.size == (80, 48)
    assert np.array_equal(
        np.roll(np.asarray(plain), (2 * shift[0], 2 * shift[1]), (0, 1)), np.asarray(rolled)
    )


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


@pytest.fixture
def folder(studio):
    found = studio.host.folders.model_folder("upscaler")
    yield found
    for file in sorted(found.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()


def test_a_missing_network_is_told_with_the_folder_and_the_command(studio, folder):
    with pytest.raises(InvalidRequestError) as caught:
        studio.plan(outscale=4, upscale=("esrgan",))
    assert str(caught.value) == (
        "upscale: 'esrgan' needs its weights; put RealESRGAN_x4plus.pth or RealESRGAN_x4plus.safetensors into "
        f"{folder}, for instance by: curl --location --output '{folder}/RealESRGAN_x4plus.pth' "
        "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth"
    )


@pytest.mark.parametrize(("amount", "iterative", "stages"), [(2, False, 1), (8, False, 1), (16, True, 4)])
def test_a_network_enlarges_what_was_drawn(studio, folder, amount, iterative, stages):
    make_tiny_esrgan(folder / "RealESRGAN_x4plus.pth")
    job = studio.job(outscale=amount, upscale=("esrgan", "nearest"), upscale_iterative=iterative)
    assert len(job.steps) == stages + 2
    (image,) = studio.run(job, job.steps[:-1]).images
    assert image.size == (64 * amount, 64 * amount)
    stage = job.bench.plan.upscale[0]
    assert (stage.weights.name, len(stage.weights.fingerprint)) == ("RealESRGAN_x4plus.pth", 64)
    assert ("nearest" in [stage.method for stage in job.bench.plan.upscale]) == iterative


@pytest.mark.parametrize("name", ["mine.safetensors", "sub/mine.pth"])
def test_any_network_works_by_its_files_name(studio, folder, name):
    make_tiny_esrgan(folder / name)
    job = studio.job(outscale=2, upscale=(name,))
    assert studio.run(job).images[0].size == (128, 128)
    assert job.bench.plan.to_json()["upscale"]["method"] == [name]


@pytest.mark.parametrize("name", ["../../secret.pth", "/etc/passwd", "link.pth", "a\0b"])
def test_files_outside_of_the_folder_are_not_found(studio, folder, name, tmp_path):
    make_tiny_esrgan(tmp_path / "secret.pth")
    (folder / "link.pth").symlink_to(tmp_path / "secret.pth")
    with pytest.raises(InvalidRequestError, match="there is no upscaler"):
        studio.plan(outscale=2, upscale=(name,))


def test_an_unknown_word_is_told_which_files_there_are(studio, folder):
    make_tiny_esrgan(folder / "mine.pth")
    with pytest.raises(
        InvalidRequestError, match=r"did you mean 'lanczos'\?; or name a file in .* \(there: mine.pth\)"
    ):
        studio.plan(outscale=2, upscale=("lancos",))


def test_what_needs_a_file_name_says_so(studio, folder):
    with pytest.raises(InvalidRequestError, match="'superres' opens networks by the name of their file"):
        studio.plan(outscale=2, upscale=("superres",))


def test_a_stopped_job_ends_between_pieces(studio, folder):
    make_tiny_esrgan(folder / "mine.pth")
    asked = []
    job = studio.job(cancelled=lambda: len(asked) > 2 or asked.append(1), outscale=2, upscale=("mine.pth",))
    with pytest.raises(CancelledError):
        CoreSteps().run_step(job.steps[1], Frame(images=(Image.new("RGB", (260, 260)),)), job.bench)


def test_an_evil_file_ends_the_job_by_name(studio, folder):
    (folder / "evil.pth").write_bytes(pickle.dumps({"a": os.getcwd}))
    job = studio.job(outscale=2, upscale=("evil.pth",))
    with pytest.raises(WeightsError, match=r"evil\.pth is refused"):
        CoreSteps().run_step(job.steps[1], Frame(images=(Image.new("RGB", (8, 8)),)), job.bench)
