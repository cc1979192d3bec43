"""Refining equals diffusers' image-to-image pipeline with the refiner: at most 1/255 off in float32."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from stretto.host.contracts.models import Precision
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.refining import Refining
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.order import order
from stretto.host.steps.dispatch import CoreSteps

from .conftest import Bench, Offers, Ours, difference

PLAIN = Refining(strength=0.5, guidance_scale=4.0, aesthetic_score=6.0, negative_aesthetic_score=2.5)


@pytest.fixture(scope="module")
def refiner(tiny_refiner):
    return Ours(tiny_refiner)


@pytest.fixture(scope="module")
def theirs(pairs, tiny_refiner):
    """Give diffusers' pipeline over the refiner, by the scheduler of the model."""
    from diffusers import StableDiffusionXLImg2ImgPipeline

    pipe = StableDiffusionXLImg2ImgPipeline.from_pretrained(tiny_refiner, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    config = dict(pipe.scheduler.config)

    def draw(scheduler: str, **arguments):
        pipe.scheduler = Offers().offer("schedulers", scheduler).build(config)
        values = {"prompt": "a red circle", "num_inference_steps": 4, "guidance_scale": 4.0} | arguments
        if "generator" not in values:
            values["generator"] = torch.Generator().manual_seed(7)
        return pipe(**values).images

    return draw


def _bench(base, refiner, refining=PLAIN, size=64, **changes):
    plan = base.plan(refiner=refiner.weights, refiner_size=size, **changes)
    plan = replace(plan, nodes=(replace(plan.nodes[0], refining=refining),))
    models = base.models | {replace(plan.refines(), precision=Precision.FLOAT32): refiner.model}
    return Bench(plan=plan, models=models)


def _run(bench):
    frame = Frame()
    for step in order(bench.plan)[:-1]:  # all but saving
        frame = CoreSteps().run_step(step, frame, bench)
    assert sum(bench.ticks) == progress_ticks(bench.plan)
    return frame.images


@pytest.mark.parametrize(
    ("scheduler", "refining"),
    [
        ("ddim", PLAIN),
        ("eads", replace(PLAIN, strength=1.0, aesthetic_score=9.0, negative_aesthetic_score=0.5)),
        ("eds", replace(PLAIN, guidance_scale=1.0)),
    ],
)
def test_over_a_finished_picture(pairs, refiner, theirs, scheduler, refining):
    base = pairs("tiny_sdxl").ours
    plain = base.draw(scheduler=scheduler)
    ours = _run(_bench(base, refiner, refining, scheduler=scheduler))
    (expected,) = theirs(
        scheduler,
        image=plain[0],
        strength=refining.strength,
        guidance_scale=refining.guidance_scale,
        aesthetic_score=refining.aesthetic_score,
        negative_aesthetic_score=refining.negative_aesthetic_score,
        negative_prompt="",
    )
    assert difference(ours, [expected]) <= 1
    assert difference(ours, plain) > 2  # and something is done at all


def test_scores_are_heard(pairs, refiner):
    base = pairs("tiny_sdxl").ours
    other = replace(PLAIN, aesthetic_score=1.0, negative_aesthetic_score=9.0)
    assert difference(_run(_bench(base, refiner)), _run(_bench(base, refiner, other))) > 0


def test_smaller_pictures_are_enlarged_and_brought_back(pairs, refiner, theirs):
    base = pairs("tiny_sdxl").ours
    (plain,) = base.draw(width=72, height=40)
    (ours,) = _run(_bench(base, refiner, size=64, width=72, height=40))
    large = plain.resize((115, 64), Image.Resampling.LANCZOS)
    filled = Image.new("RGB", (120, 64))
    filled.paste(large)
    for left in range(115, 120):
        filled.paste(large.crop((114, 0, 115, 64)), (left, 0))
    (drawn,) = theirs("ddim", image=filled, strength=0.5, negative_prompt="")
    expected = drawn.crop((0, 0, 115, 64)).resize((72, 40), Image.Resampling.LANCZOS)
    assert difference([ours], [expected]) <= 1


@pytest.mark.parametrize("scheduler", ["ddim", "eds", "eads", "dpmsm"])
@pytest.mark.parametrize(("start", "samples"), [(0.5, 1), (0.8, 2)])
def test_hand_over(pairs, refiner, theirs, scheduler, start, samples):
    pair = pairs("tiny_sdxl")
    refining = replace(PLAIN, start=start)
    bench = _bench(pair.ours, refiner, refining, scheduler=scheduler, steps=5, samples=samples)
    bench.plan = replace(bench.plan, image_callback_steps=2)
    ours = _run(bench)
    pipe = pair.theirs.from_text
    pipe.scheduler = Offers().offer("schedulers", scheduler).build(pair.theirs.config)
    generator = torch.Generator().manual_seed(7)
    latents = pipe(
        "a red circle",
        width=64,
        height=64,
        num_inference_steps=5,
        guidance_scale=5.0,
        num_images_per_prompt=samples,
        denoising_end=start,
        output_type="latent",
        generator=generator,
    ).images
    arguments = {"num_inference_steps": 5, "denoising_start": start, "generator": generator}
    arguments |= {"num_images_per_prompt": samples, "negative_prompt": ""}
    expected = theirs(scheduler, image=latents, **arguments)
    assert difference(ours, expected) <= 1


@pytest.mark.parametrize("scheduler", ["heun", "dpmd", "pndm"])
def test_a_model_hands_over_to_itself_unnoticed(pairs, scheduler):
    """Whole steps are handed over, so the same model in both places draws what it draws alone."""
    base = pairs("tiny_sdxl").ours
    refining = replace(PLAIN, start=0.5, guidance_scale=5.0)
    ours = _run(_bench(base, base, refining, scheduler=scheduler))
    if scheduler == "pndm":  # looks back at predictions, which are not handed over
        assert ours[0].size == (64, 64)
        return
    assert difference(ours, base.draw(scheduler=scheduler)) <= 1


def test_hand_over_of_an_image(pairs, refiner, picture):
    base = pairs("tiny_sdxl").ours
    refining = replace(PLAIN, start=0.8)
    ours = _run(_bench(base, refiner, refining, image=picture.ref, strength=0.9, steps=5))
    assert difference(ours, base.draw(image=picture.ref, strength=0.9, steps=5)) > 2


def test_any_checkpoint_refines(pairs):
    base, other = pairs("tiny_sdxl").ours, pairs("tiny_sd1")
    plain = base.draw()
    ours = _run(_bench(base, other.ours))
    expected = other.theirs.draw(image=plain[0], strength=0.5, guidance_scale=4.0)
    assert difference(ours, expected) <= 1


def test_what_a_mask_keeps_is_not_refined(pairs, refiner, picture, tmp_path):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    mask.save(tmp_path / "mask.png")
    ref = replace(picture.ref, path=str(tmp_path / "mask.png"), mode="L")
    bench = _bench(pairs("tiny_sdxl").ours, refiner, image=picture.ref)
    bench.plan = replace(bench.plan, nodes=(replace(bench.plan.nodes[0], mask=ref),))
    (ours,) = _run(bench)
    right = (32, 0, 64, 64)
    assert difference([ours.crop(right)], [picture.image.crop(right)]) == 0
    assert difference([ours.crop((0, 0, 32, 64))], [picture.image.crop((0, 0, 32, 64))]) > 2
