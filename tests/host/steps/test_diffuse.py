"""Drawing: sizes, ticks, intermediates, and stopping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stretto.host.contracts.events import StepProgress
from stretto.host.errors import CancelledError, OutOfMemoryError, UnsupportedError
from stretto.host.planning.estimate import progress_ticks
from stretto.host.steps import diffuse as subject

SCHEDULERS = (
    "ddim", "ddpm", "deis", "dpmsm", "dpmss", "heun", "dpmd", "adpmd",
    "dpmsde", "unipc", "lmsd", "pndm", "eds", "eads",
)  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(64, 64), (70, 61), (33, 128), (8, 8)])
def test_pictures_have_the_size_that_was_asked(studio, width, height):
    (image,) = studio.draw(width=width, height=height)
    assert (image.size, image.mode) == ((width, height), "RGB")


def test_a_cropped_picture_is_the_corner_of_the_whole(studio):
    (small,), (whole,) = studio.draw(width=60, height=61), studio.draw(width=64, height=64)
    assert small.tobytes() == whole.crop((0, 0, 60, 61)).tobytes()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_ticks_add_up_whatever_the_scheduler(studio, scheduler):
    job = studio.job(scheduler=scheduler, num_inference_steps=5, image_callback_steps=2)
    studio.run(job, job.steps[:1])
    assert job.bench._step == progress_ticks(job.bench.plan) == 5 + 1 + 2


@pytest.mark.parametrize("scheduler", ["ddim", "heun", "pndm", "dpmsde"])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_ticks_add_up_for_images_in_windows(studio, reference, ramp, scheduler, strength):
    job = studio.job(
        image=reference(ramp), strength=strength, width=112, height=64, fit="cover", chunking_size=32,
        scheduler=scheduler, num_inference_steps=5, samples=2, image_callback_steps=2,
    )  # fmt: skip
    studio.run(job, job.steps[:1])
    steps = int(5 * strength)
    assert job.bench._step == progress_ticks(job.bench.plan) == 3 * (steps + 1 + 1 + steps // 2)


def test_calls_that_hold_many_windows_count_each(studio, monkeypatch):
    from stretto.host.engine import latents

    monkeypatch.setitem(latents._CALL_LIMIT_CELLS, "cpu", 4 * 8 * 8)
    job = studio.job(width=128, height=128, chunking_size=32, samples=3)
    studio.run(job, job.steps[:1])
    assert job.bench._step == progress_ticks(job.bench.plan) == 9 * 5


def test_intermediates_are_shown_between_but_not_at_the_end(studio):
    job = studio.job(num_inference_steps=6, image_callback_steps=2, samples=2, width=60, height=64)
    studio.run(job, job.steps[:1])
    shown = [
        event.intermediates for event in job.told if isinstance(event, StepProgress) and event.intermediates
    ]
    assert len(shown) == 2
    assert all(len(names) == 2 for names in shown)
    from PIL import Image

    with Image.open(studio.host.folders.intermediates / shown[0][0]) as image:
        assert image.size == (60, 64)


def test_without_intermediates_nothing_is_decoded_on_the_way(studio):
    job = studio.job(num_inference_steps=6, image_callback_steps=2, intermediates=False)
    studio.run(job, job.steps[:1])
    assert job.bench._step == 7
    assert not any(event.intermediates for event in job.told if isinstance(event, StepProgress))


@pytest.mark.parametrize("scheduler", ["ddim", "heun"])
def test_a_stopped_job_ends_between_two_calls(studio, scheduler):
    calls = []
    job = studio.job(num_inference_steps=50, scheduler=scheduler, cancelled=lambda: len(calls) >= 3)
    unet = job.bench.model(job.steps[0].model).unet
    hook = unet.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(CancelledError):
        studio.run(job)
    hook.remove()
    assert len(calls) == 3


def test_the_same_plan_makes_the_same_picture_and_another_seed_another(studio):
    first = studio.draw(scheduler="eads", seed=0)[0].tobytes()
    assert first == studio.draw(scheduler="eads", seed=0)[0].tobytes()
    assert first != studio.draw(scheduler="eads", seed=1)[0].tobytes()


def test_a_recorded_plan_without_a_seed_draws_again(studio):
    plan = studio.plan(seed=None)
    one, other = studio.job(plan=plan), studio.job(plan=plan)
    assert (
        studio.run(one, one.steps[:1]).images[0].tobytes()
        == studio.run(other, other.steps[:1]).images[0].tobytes()
    )


def test_samples_differ(studio):
    images = studio.draw(samples=3)
    assert len({image.tobytes() for image in images}) == 3


def test_strength_moves_away_from_the_image(studio, reference, ramp):
    ref = reference(ramp)
    base = np.asarray(studio.draw(image=ref, strength=0.1, num_inference_steps=10)[0], dtype=float)
    moved = [
        np.abs(np.asarray(studio.draw(image=ref, strength=strength, num_inference_steps=10)[0]) - base).mean()
        for strength in (0.2, 0.5, 1.0)
    ]
    assert 0 < moved[0] < moved[1] < moved[2]


def test_sdxl_and_sd1_share_the_machine(studio):
    assert studio.draw(model="xl")[0].size == (64, 64)
    assert studio.draw(model="one")[0].size == (64, 64)
    assert len(studio.machine.pool.resident) >= 2


def test_weights_and_long_prompts_are_heard(studio):
    plain = studio.draw(prompt="a red circle", guidance_scale=15.0)[0]
    weighted = studio.draw(prompt="a (red:1.9) circle", guidance_scale=15.0)[0]
    long = studio.draw(prompt="a red circle and a blue dog on the left " * 12, guidance_scale=15.0)[0]
    assert len({image.tobytes() for image in (plain, weighted, long)}) == 3


def test_embeddings_are_remembered_between_jobs(studio, monkeypatch):
    from stretto.host.engine import conditioning

    calls = []
    encode = conditioning.encode
    monkeypatch.setattr(conditioning, "encode", lambda *args: calls.append(args) or encode(*args))
    studio.machine.memo.clear()
    studio.draw(prompt="a dog", negative_prompt="a cat")
    assert len(calls) == 2
    studio.draw(prompt="a dog", negative_prompt="a cat", seed=9, guidance_scale=3.0)
    studio.draw(prompt="a cat", negative_prompt="a dog")
    assert len(calls) == 2


def test_a_model_that_fills_masks_says_so(studio):
    job = studio.job()
    spec = replace(job.steps[0].model, weights=studio.host.resolve_model("filler"))
    with pytest.raises(UnsupportedError, match="9 channels"):
        studio.run(job, [replace(job.steps[0], model=spec)])


def test_running_out_of_memory_says_what_to_do(studio, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(subject, "denoise", full)
    with pytest.raises(OutOfMemoryError, match=r"1 x 64 x 64 px.*smaller width"):
        studio.draw()
