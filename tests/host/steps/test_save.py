"""Saved pictures: whole, small enough, and telling how they were made."""

from __future__ import annotations

import hashlib
import json

import pytest
from PIL import Image
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import Save
from stretto.host.errors import CancelledError
from stretto.host.planning.estimate import progress_ticks
from stretto.host.runtime.executor import execute
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.steps.save import parameters


@pytest.fixture
def saved(studio):
    job = studio.job(prompt="a red circle ü", negative_prompt="a dog", samples=2, width=60)
    frame = studio.run(job)
    return job, frame


def test_files_are_named_by_job_and_sample(studio, saved):
    job, frame = saved
    assert frame.files == (f"{job.bench.job}_0.png", f"{job.bench.job}_1.png")
    for name, image in zip(frame.files, frame.images, strict=True):
        with Image.open(studio.host.folders.images / name) as opened:
            assert opened.format == "PNG"
            assert opened.tobytes() == image.tobytes()


def test_text_chunks_hold_the_plan_without_folders(studio, reference, ramp):
    job = studio.job(prompt="a red circle ü", image=reference(ramp), num_inference_steps=2)
    frame = studio.run(job)
    with Image.open(studio.host.folders.images / frame.files[0]) as opened:
        text = opened.text
    plan = json.loads(text["stretto:plan"])
    whole = json.loads(json.dumps(job.bench.plan.to_json()))
    image = whole["resolved"]["nodes"][0]["image"]["path"]
    assert image.startswith("/")
    assert whole["resolved"]["model"]["path"].startswith("/")
    whole["resolved"]["model"]["path"] = "diffusers/one"
    for node in (whole["nodes"][0], whole["resolved"]["nodes"][0]):
        key = "filename" if "filename" in node["image"] else "path"
        node["image"][key] = image.rsplit("/", 1)[1]
    assert plan == whole
    assert str(studio.host.folders.root) not in json.dumps(plan)
    assert plan["seed"] == 1
    assert text["stretto:version"] == studio.host.version
    assert text["parameters"] == parameters(job.bench.plan, studio.host.version)


def test_parameters_read_as_other_programs_write_them(studio, reference, ramp):
    plan = studio.plan(
        prompt="a cat",
        negative_prompt="a dog",
        seed=5,
        guidance_scale=7.0,
        image=reference(ramp),
        strength=0.5,
    )
    lines = parameters(plan, "1.2").split("\n")
    assert lines[0] == "a cat"
    assert lines[1] == "Negative prompt: a dog"
    assert lines[2].startswith("Steps: 4, Sampler: ddim, CFG scale: 7, Seed: 5, Size: 80x56, Model: one")
    assert lines[2].endswith("Denoising strength: 0.5, Version: stretto 1.2")
    assert "Negative" not in parameters(studio.plan(), "1")


def test_pictures_with_transparency_keep_it(studio):
    job = studio.job()
    image = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    frame = CoreSteps().run_step(Save(why="save"), Frame(images=(image,)), job.bench)
    with Image.open(studio.host.folders.images / frame.files[0]) as opened:
        assert opened.getpixel((0, 0)) == (1, 2, 3, 4)


def test_a_failed_write_leaves_nothing(studio, monkeypatch):
    job = studio.job()
    before = set(studio.host.folders.images.iterdir())

    def half(self, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="disk full"):
        studio.run(job)
    assert set(studio.host.folders.images.iterdir()) == before


def test_a_stopped_job_saves_nothing(studio):
    job = studio.job(cancelled=lambda: True)
    with pytest.raises(CancelledError):
        CoreSteps().run_step(Save(why="save"), Frame(images=(Image.new("RGB", (8, 8)),)), job.bench)
    assert not list(studio.host.folders.images.glob(f"*{job.bench.job}*"))


def test_iterations_are_numbered_on_and_each_is_its_own_seed(studio):
    job = studio.job(seed=5, samples=2, iterations=2, num_inference_steps=2, clip_skip=1)
    frame = execute(studio.host.board, job.bench)
    assert frame.files == tuple(f"{job.bench.job}_{i}.png" for i in range(4))
    assert job.bench._step == job.bench._total == progress_ticks(job.bench.plan)
    second = studio.run(studio.job(seed=6, samples=2, num_inference_steps=2, clip_skip=1))
    for name, image in zip(frame.files[2:], second.images, strict=True):
        with Image.open(studio.host.folders.images / name) as opened:
            assert opened.tobytes() == image.tobytes()
            recorded = json.loads(opened.text["stretto:plan"])["resolved"]
        assert (recorded["seed"], recorded["iterations"], recorded["clip_skip"]) == (6, 1, 1)


def test_a_picture_and_its_job_carry_the_digests_of_the_files(studio):
    job = studio.job(num_inference_steps=1)
    frame = execute(studio.host.board, job.bench)
    with Image.open(studio.host.folders.images / frame.files[0]) as opened:
        recorded = json.loads(opened.text["stretto:plan"])["resolved"]["model"]
    folder = studio.host.folders.model_folder("diffusers") / "one"
    weights = sorted(folder.rglob("*.safetensors"))
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n"
        for file in weights
    ]
    assert weights
    assert recorded["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
