"""Drawing over what was enlarged: the same as image-to-image by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import Rediffuse
from stretto.host.errors import CancelledError
from stretto.host.planning.estimate import progress_ticks
from stretto.host.steps.dispatch import CoreSteps

AGAIN = {"outscale": 2, "upscale": ("bicubic",), "upscale_diffusion": True, "upscale_diffusion_steps": (8,),
         "upscale_diffusion_strength": (0.5,), "upscale_diffusion_guidance_scale": (3.0,),
         "upscale_diffusion_chunking_size": 32, "upscale_diffusion_chunking_blur": 24}  # fmt: skip


def by_hand(studio, reference, image, **request):
    """Ask for image-to-image over `image`."""
    (drawn,) = studio.draw(
        **{
            "image": reference(image), "width": image.width, "height": image.height, "num_inference_steps": 8,
            "strength": 0.5, "guidance_scale": 3.0, "chunking_size": 32, "chunking_blur": 24, **request,
        }
    )  # fmt: skip
    return drawn


def enlarged(studio, **request):
    """Draw and enlarge, without drawing over."""
    job = studio.job(**request)
    return studio.run(job, [step for step in job.steps if not isinstance(step, Rediffuse)][:-1]).images


@pytest.mark.parametrize("model", ["one", "xl"])
@pytest.mark.parametrize("scheduler", ["ddim", "eads"])
def test_it_is_image_to_image_over_the_enlarged_picture(studio, reference, model, scheduler):
    request = {"model": model, "width": 60, "height": 52, "scheduler": scheduler, **AGAIN}
    job = studio.job(**request)
    (drawn,) = studio.run(job, job.steps[:-1]).images
    (large,) = enlarged(studio, **request)
    expected = by_hand(studio, reference, large, model=model, scheduler=scheduler)
    assert drawn.size == (120, 104)
    assert drawn.tobytes() == expected.tobytes()
    assert drawn.tobytes() != large.tobytes()


def test_each_sample_is_drawn_over_alone(studio, reference):
    request = {"samples": 2, **AGAIN}
    job = studio.job(**request)
    drawn = studio.run(job, job.steps[:-1]).images
    for image, large in zip(drawn, enlarged(studio, **request), strict=True):
        assert image.tobytes() == by_hand(studio, reference, large).tobytes()


def test_each_stage_has_its_own_settings(studio, reference):
    job = studio.job(
        outscale=4,
        upscale=("nearest", "lanczos"),
        upscale_iterative=True,
        upscale_diffusion=True,
        upscale_diffusion_steps=(8, 4),
        upscale_diffusion_strength=(0.5, 0.25),
        upscale_diffusion_guidance_scale=(3.0,),
        upscale_diffusion_prompt=("a blue square", "a green square"),
    )
    (drawn,) = studio.run(job, job.steps[:-1]).images
    (small,) = studio.run(job, job.steps[:1]).images
    first = by_hand(
        studio,
        reference,
        small.resize((128, 128), Image.Resampling.NEAREST),
        prompt="a blue square",
        chunking_size=16,
        chunking_blur=16,
    )
    second = by_hand(
        studio, reference, first.resize((256, 256), Image.Resampling.LANCZOS), prompt="a green square",
        num_inference_steps=4, strength=0.25, chunking_size=32, chunking_blur=32,
    )  # fmt: skip
    assert drawn.tobytes() == second.tobytes()


def test_ticks_are_those_that_were_planned(studio):
    job = studio.job(samples=2, **AGAIN)
    job.bench.begin([step.why for step in job.steps], progress_ticks(job.bench.plan))
    studio.run(job, job.steps[:-1])
    assert job.bench._step == progress_ticks(job.bench.plan)


def test_what_is_transparent_stays_so(studio):
    job = studio.job(**AGAIN)
    step = next(step for step in job.steps if isinstance(step, Rediffuse))
    clear = Image.new("RGB", (64, 64), "red")
    clear.putalpha(Image.linear_gradient("L").resize((64, 64)))
    (drawn,) = CoreSteps().run_step(step, Frame(images=(clear,)), job.bench).images
    assert drawn.mode == "RGBA"
    assert drawn.getchannel("A").tobytes() == clear.getchannel("A").tobytes()
    assert np.asarray(drawn)[..., :3].tobytes() != np.asarray(clear)[..., :3].tobytes()


def test_a_stopped_job_ends(studio):
    job = studio.job(cancelled=lambda: True, **AGAIN)
    step = next(step for step in job.steps if isinstance(step, Rediffuse))
    with pytest.raises(CancelledError):
        CoreSteps().run_step(step, Frame(images=(Image.new("RGB", (64, 64)),)), job.bench)
