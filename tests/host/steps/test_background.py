"""Removing backgrounds over a real host."""

from __future__ import annotations

import pytest
from PIL import Image
from stretto.host.contracts.plan import RemoveBackground
from stretto.host.contracts.protocols import Frame
from stretto.host.errors import InvalidRequestError, WeightsError
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.testing.networks import make_tiny_remover


@pytest.fixture
def folder(studio):
    found = studio.host.folders.model_folder("background")
    yield found
    for file in found.iterdir():
        file.unlink()


def test_a_missing_file_is_told_with_the_folder_and_the_command(studio, folder):
    with pytest.raises(InvalidRequestError) as caught:
        studio.plan(remove_background=True)
    (fault,) = caught.value.faults
    assert fault.field == "remove_background"
    assert f"into {folder}" in fault.message
    assert "u2net.onnx" in fault.message
    assert "curl --location" in fault.message


def test_a_picture_is_saved_with_its_transparency(studio, folder):
    make_tiny_remover(folder / "u2net.onnx")
    job = studio.job(remove_background=True, samples=2)
    assert job.steps[1].why == "remove the background by u2net"
    assert len(job.bench.plan.remover.weights.fingerprint) == 64
    frame = studio.run(job)
    for name in frame.files:
        with Image.open(studio.host.folders.images / name) as image:
            assert image.mode == "RGBA"
    plain = studio.draw(samples=2)
    assert [image.convert("RGB").tobytes() for image in frame.images] == [image.tobytes() for image in plain]


def test_transparency_survives_enlarging_and_drawing_over(studio, folder):
    make_tiny_remover(folder / "u2netp.onnx")
    frame = studio.run(
        studio.job(
            remove_background=True, outscale=2, upscale=("lanczos",), upscale_diffusion=True,
            upscale_diffusion_steps=(4,), upscale_diffusion_strength=(0.5,),
        )
    )  # fmt: skip
    assert [(image.mode, image.size) for image in frame.images] == [("RGBA", (128, 128))]


def test_the_first_network_that_is_there_is_used(studio, folder):
    make_tiny_remover(folder / "u2netp.onnx")
    assert studio.plan(remove_background=True).remover.method == "u2netp"
    make_tiny_remover(folder / "isnet-general-use.onnx", side_px=1024)
    assert studio.plan(remove_background=True).remover.method == "isnet-general-use"


def step_of(job):
    return next(step for step in job.steps if isinstance(step, RemoveBackground))


def test_a_picture_without_a_subject_is_in_the_record(studio, folder):
    make_tiny_remover(folder / "u2net.onnx")
    job = studio.job(remove_background=True)
    CoreSteps().run_step(step_of(job), Frame(images=(Image.new("RGB", (32, 32), "red"),)), job.bench)
    assert job.bench.plan.notes[-1] == "'u2net' found no subject in picture 0: all of it is transparent"


def test_a_broken_file_is_named(studio, folder):
    (folder / "u2net.onnx").write_bytes(b"<html>")
    job = studio.job(remove_background=True)
    with pytest.raises(WeightsError, match=r"u2net\.onnx cannot be opened"):
        CoreSteps().run_step(step_of(job), Frame(images=(Image.new("RGB", (32, 32)),)), job.bench)
