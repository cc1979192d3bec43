"""Removing backgrounds over a real host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from stretto.host.contracts.plan import Remover
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.specs import BackgroundRemoverSpec
from stretto.host.contracts.steps import RemoveBackground
from stretto.host.errors import EngineError, InvalidRequestError, PluginError, WeightsError
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


class Halves:
    """Keeps the left half of a picture; needs no weights."""

    def remove(self, image):
        cut = image.convert("RGBA")
        cut.paste((0, 0, 0, 0), (cut.width // 2, 0, *cut.size))
        return cut


def test_a_remover_without_weights_is_built_for_the_device(studio, monkeypatch):
    devices = []
    spec = BackgroundRemoverSpec(name="halves", build=lambda device: devices.append(device) or Halves())
    monkeypatch.setattr(type(studio.host), "offers", lambda *_: {"halves": spec})
    monkeypatch.setattr(type(studio.host), "offer", lambda *_: spec)
    job = studio.job(plan=replace(studio.plan(), remover=Remover(method="halves"), remove_background=True))
    picture = Image.new("RGB", (32, 32), "red")
    done = CoreSteps().run_step(step_of(job), Frame(images=(picture,)), job.bench)
    assert devices == [job.bench.device]
    assert done.images[0].getchannel("A").getbbox() == (0, 0, 16, 32)


def test_a_remover_that_cannot_be_opened_at_all_is_named(studio, monkeypatch):
    monkeypatch.setattr(type(studio.host), "offer", lambda *_: BackgroundRemoverSpec(name="idle"))
    job = studio.job(plan=replace(studio.plan(), remover=Remover(method="idle"), remove_background=True))
    with pytest.raises(PluginError, match="'idle' is offered with neither"):
        CoreSteps().run_step(step_of(job), Frame(images=(Image.new("RGB", (8, 8)),)), job.bench)


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


@pytest.fixture
def portrait():
    """Give a dark subject on white, 64 x 64 px."""
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((16, 16, 47, 47), fill=(40, 20, 10))
    return image


def test_the_removed_background_of_an_image_is_drawn_anew(studio, folder, reference, portrait):
    make_tiny_remover(folder / "u2net.onnx")
    job = studio.job(image=reference(portrait), remove_background=True, fill_background=True, samples=2)
    assert [type(step).__name__ for step in job.steps] == ["Diffuse", "Save"]
    images = studio.run(job).images
    before, subject = np.asarray(portrait), np.asarray(portrait.convert("L")) < 60
    inner = subject & np.roll(subject, 4, 0) & np.roll(subject, -4, 0) & np.roll(subject, 4, 1)
    for image in images:
        after = np.asarray(image)
        assert image.mode == "RGB"
        assert (after[inner] == before[inner]).all()
        assert (after[:8] != before[:8]).mean() > 0.5
    assert images[0].tobytes() != images[1].tobytes()


def test_filling_is_outpainting_of_the_image_without_its_background(studio, folder, reference, portrait):
    make_tiny_remover(folder / "u2net.onnx")
    filled = studio.draw(image=reference(portrait), remove_background=True, fill_background=True)
    spec = studio.host.offer("background_removers", "u2net")
    cut = spec.open(studio.plan(remove_background=True).remover.weights, "cpu").remove(portrait)
    (by_hand,) = studio.draw(image=reference(cut), crop_inpaint=False)
    assert filled[0].tobytes() == by_hand.tobytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"remove_background": False}, "fills what remove_background leaves empty; set that too"),
        ({"mask": True}, "makes a mask of the image's background; leave `mask` out"),
        ({"prompt": ""}, "draws what the prompt says, and there is none"),
    ],
)
def test_what_cannot_be_filled_is_a_fault(studio, folder, reference, portrait, more, message):
    make_tiny_remover(folder / "u2net.onnx")
    asked = {"remove_background": True, "fill_background": True, "image": reference(portrait), **more}
    if "mask" in more:
        asked["mask"] = reference(Image.new("L", (64, 64), 255))
    with pytest.raises(InvalidRequestError) as caught:
        studio.plan(**asked)
    assert str(caught.value) == f"fill_background: {message}"


def test_filling_nothing_is_told(studio, folder, reference):
    make_tiny_remover(folder / "u2net.onnx")
    plan = studio.plan(remove_background=True, fill_background=True)
    assert "fill_background fills nothing without an image" in plan.notes
    job = studio.job(
        remove_background=True, fill_background=True, image=reference(Image.new("RGB", (64, 64), "red"))
    )
    with pytest.raises(EngineError, match="'u2net' found no subject in the image"):
        studio.run(job)
