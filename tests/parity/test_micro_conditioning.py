"""What SDXL is told of sizes, crops and beauty in every mode: what diffusers' pipelines tell it, and the same pictures."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.models import Precision
from stretto.host.contracts.plan import Bounds, Rediffusion
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.refining import Refining
from stretto.host.contracts.steps import Diffuse, Rediffuse, Refine
from stretto.host.engine import conditioning
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.steps.inpaint import Work
from stretto.host.testing.fixtures import tiny_sdxl_inpainter  # noqa: F401

from .conftest import Bench, Offers, Ours, difference

SIZE = 80, 56  # width, height: no square, so that no two of the numbers can stand in for each other
STEPS = 3


@contextmanager
def told(*unets):
    """Collect the numbers that each call of one of `unets` is told, rows of (h, w, top, left, h, w or score)."""
    rows: list[tuple[float, ...]] = []

    def hear(_unet, _given, named):
        rows.extend(tuple(map(float, row)) for row in named["added_cond_kwargs"]["time_ids"])

    hooks = [unet.register_forward_pre_hook(hear, with_kwargs=True) for unet in unets]
    try:
        yield rows
    finally:
        for hook in hooks:
            hook.remove()


@pytest.fixture(scope="module")
def refiner(tiny_refiner):
    return Ours(tiny_refiner)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Give a picture and a mask of 80 x 56, with their references."""
    folder = tmp_path_factory.mktemp("inputs")
    rows, columns = np.mgrid[0:56, 0:80]
    levels = np.stack([rows * 4, columns * 3, 255 - rows - columns], axis=-1).astype(np.uint8)
    mask = np.zeros((56, 80), np.uint8)
    mask[10:40, 20:60] = 255
    made = {}
    for name, image in (("image", Image.fromarray(levels)), ("mask", Image.fromarray(mask))):
        image.save(folder / f"{name}.png")
        path = str(folder / f"{name}.png")
        made[name] = image, ImageRef(path=path, width=80, height=56, mode=image.mode, sha256="0" * 64)
    return made


def ours_of(ours, **changes):
    """Draw with ours; gives pictures and what the UNet was told."""
    node_changes = {name: changes.pop(name) for name in ("mask", "crop") if name in changes}
    bench = ours.bench(**{"width": SIZE[0], "height": SIZE[1], "steps": STEPS, **changes})
    bench.plan = replace(bench.plan, nodes=(replace(bench.plan.nodes[0], **node_changes),))
    with told(ours.model.unet) as rows:
        return ours.run(bench), rows


def theirs_of(pipe, **arguments):
    pipe.scheduler = Offers().offer("schedulers", "ddim").build(dict(pipe.scheduler.config))
    values = {"prompt": "a red circle", "num_inference_steps": STEPS, "guidance_scale": 5.0, **arguments}
    generator = values.pop("generator", None) or torch.Generator().manual_seed(7)
    with told(pipe.unet) as rows:
        return pipe(generator=generator, **values).images, rows


def sized(width, height):
    return {"width": width, "height": height}


def check(ours, theirs, expected):
    """Compare pictures, and what was told, with what it should be."""
    assert ours[1] == theirs[1]
    assert set(ours[1]) == {tuple(map(float, row)) for row in expected}
    assert difference(ours[0], theirs[0]) <= 1


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("samples", [1, 2])
def test_text(pairs, samples, guidance):
    pair = pairs("tiny_sdxl")
    ours = ours_of(pair.ours, samples=samples, guidance=guidance)
    more = {"num_images_per_prompt": samples, "guidance_scale": guidance}
    check(ours, theirs_of(pair.theirs.from_text, **sized(*SIZE), **more), [(56, 80, 0, 0, 56, 80)])
    assert len(ours[1]) == STEPS * samples * (2 if guidance > 1 else 1)


def test_the_numbers_are_heard(pairs, monkeypatch):
    """Else equality would prove nothing."""
    ours = pairs("tiny_sdxl").ours
    right = ours_of(ours)[0]
    told_it = conditioning._time_ids
    monkeypatch.setattr(conditioning, "_time_ids", lambda *given: told_it(*given) * 9)
    assert difference(right, ours_of(ours)[0]) > 2


def test_image(pairs, inputs):
    pair, (image, ref) = pairs("tiny_sdxl"), inputs["image"]
    theirs = theirs_of(pair.theirs.from_image, image=image, strength=0.7)
    check(ours_of(pair.ours, image=ref, strength=0.7), theirs, [(56, 80, 0, 0, 56, 80)])


@pytest.fixture(scope="module", params=["tiny_sdxl", "tiny_sdxl_inpainter"])
def filler(request):
    """Give ours and theirs over a model that fills masks, of four channels and of nine."""
    folder = request.getfixturevalue(request.param)
    pipe = diffusers.StableDiffusionXLInpaintPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return Ours(folder), pipe


def test_mask(filler, inputs, monkeypatch):
    ours, pipe = filler
    monkeypatch.setattr(Work, "pasted", lambda _, drawn: drawn)
    (image, ref), (mask, hole) = inputs["image"], inputs["mask"]
    drawn = ours_of(ours, image=ref, mask=hole, strength=1.0)
    theirs = theirs_of(pipe, image=image, mask_image=mask, strength=1.0, **sized(*SIZE))
    check(drawn, theirs, [(56, 80, 0, 0, 56, 80)])


def test_a_part_that_is_drawn_by_itself_is_told_its_own_size(filler, inputs, monkeypatch):
    """The pipelines' `padding_mask_crop` tells the same: what is cut out is the picture."""
    ours, pipe = filler
    monkeypatch.setattr(Work, "pasted", lambda _, drawn: drawn)
    (image, ref), (mask, hole) = inputs["image"], inputs["mask"]
    box = (16, 0, 64, 40)
    crop = Bounds(left=16, top=0, right=64, bottom=40)
    drawn = ours_of(ours, image=ref, mask=hole, strength=1.0, crop=crop)
    theirs = theirs_of(pipe, image=image.crop(box), mask_image=mask.crop(box), strength=1.0, **sized(48, 40))
    check(drawn, theirs, [(40, 48, 0, 0, 40, 48)])


def test_windows_are_told_the_canvas(pairs):
    """All of them, as one window over it would be."""
    images, rows = ours_of(pairs("tiny_sdxl").ours, size=40, chunking_size=16, chunking_blur=16)
    assert images[0].size == SIZE
    assert set(rows) == {(56.0, 80.0, 0.0, 0.0, 56.0, 80.0)}
    assert len(rows) > 2 * STEPS


def test_drawing_over_what_was_enlarged(pairs, inputs):
    pair, (image, _ref) = pairs("tiny_sdxl"), inputs["image"]
    large = image.resize((160, 112))
    settings = Rediffusion(
        prompt="a red circle", negative_prompt="", num_inference_steps=STEPS, guidance_scale=5.0, strength=0.7,
        chunking_size=0, chunking_blur=0,
    )  # fmt: skip
    bench = pair.ours.bench(size=512)
    step = Rediffuse(settings=settings, model=bench.plan.base(), why="draw over")
    with told(pair.ours.model.unet) as rows:
        images = CoreSteps().run_step(step, Frame(images=(large,)), bench).images
    theirs = theirs_of(pair.theirs.from_image, image=large, strength=0.7)
    check((images, rows), theirs, [(112, 160, 0, 0, 112, 160)])


def refined(base, refiner, refining, frame):
    """Refine with ours what `frame` holds."""
    plan = base.plan(refiner=refiner.weights, refiner_size=48, steps=STEPS, **sized(*SIZE))
    plan = replace(plan, nodes=(replace(plan.nodes[0], refining=refining),))
    models = base.models | {replace(plan.refines(), precision=Precision.FLOAT32): refiner.model}
    bench = Bench(plan=plan, models=models)
    step = Refine(node=plan.nodes[0], refining=refining, model=plan.refines(), size_px=48, why="refine")
    if refining.start is not None:
        draw = Diffuse(node=plan.nodes[0], model=plan.base(), why="draw")
        frame = CoreSteps().run_step(draw, frame, bench)
    with told(refiner.model.unet) as rows:
        return CoreSteps().run_step(step, frame, bench).images, rows


SCORES = {"aesthetic_score": 7.5, "negative_aesthetic_score": 1.5}
HEARD = [(56, 80, 0, 0, 7.5), (56, 80, 0, 0, 1.5)]


@pytest.fixture(scope="module")
def finishing(tiny_refiner):
    pipe = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(tiny_refiner, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_refining_a_finished_picture(pairs, refiner, finishing, inputs):
    image, _ref = inputs["image"]
    how = Refining(strength=0.7, guidance_scale=4.0, **SCORES)
    ours = refined(pairs("tiny_sdxl").ours, refiner, how, Frame(images=(image,)))
    theirs = theirs_of(finishing, image=image, strength=0.7, guidance_scale=4.0, negative_prompt="", **SCORES)
    check(ours, theirs, HEARD)


def test_refining_what_is_handed_over(pairs, refiner, finishing):
    pair = pairs("tiny_sdxl")
    how = Refining(strength=0.7, guidance_scale=4.0, start=0.6, **SCORES)
    ours = refined(pair.ours, refiner, how, Frame())
    generator = torch.Generator().manual_seed(7)
    latents, _rows = theirs_of(
        pair.theirs.from_text, denoising_end=0.6, output_type="latent", generator=generator, **sized(*SIZE)
    )
    theirs = theirs_of(
        finishing, image=latents, denoising_start=0.6, guidance_scale=4.0, negative_prompt="",
        generator=generator, **SCORES,
    )  # fmt: skip
    check(ours, theirs, HEARD)


def test_refining_by_a_base_model_knows_no_scores(pairs, inputs):
    pair, (image, _ref) = pairs("tiny_sdxl"), inputs["image"]
    how = Refining(strength=0.7, guidance_scale=4.0, **SCORES)
    ours = refined(pair.ours, pair.ours, how, Frame(images=(image,)))
    theirs = theirs_of(pair.theirs.from_image, image=image, strength=0.7, guidance_scale=4.0)
    check(ours, theirs, [(56, 80, 0, 0, 56, 80)])
