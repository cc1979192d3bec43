"""Repainting a part of an image, over a real host: what changes, what comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.order import order


def picture(width, height):
    rows, columns = np.mgrid[0:height, 0:width]
    levels = np.stack([rows * 255 // height, columns * 255 // width, 200 - rows % 50], axis=-1)
    return Image.fromarray(levels.astype(np.uint8))


def mask_of(size, *boxes, level=255):
    mask = Image.new("L", size)
    for box in boxes:
        mask.paste(level, box)
    return mask


def split(before, after, mask):
    """Give the pixels that were to stay, before and after, and how far the others moved on average."""
    one, other, hole = np.asarray(before), np.asarray(after), np.asarray(mask) > 0
    assert one.shape == other.shape
    moved = np.abs(one[hole].astype(int) - other[hole]).mean()
    return one[~hole], other[~hole], moved


@pytest.mark.parametrize("scheduler", ["ddim", "eads", "dpmsde", "heun"])
@pytest.mark.parametrize("inpainter", [None, "filler", "one", "xl"])
def test_only_the_mask_changes(studio, reference, inpainter, scheduler):
    image, mask = picture(64, 64), mask_of((64, 64), (13, 9, 41, 50))
    (drawn,) = studio.draw(
        image=reference(image), mask=reference(mask), inpainter=inpainter, scheduler=scheduler, strength=1.0,
        inpainter_size=64 if inpainter else None,
    )  # fmt: skip
    before, after, moved = split(image, drawn, mask)
    assert (before == after).all()
    assert moved > 5


@pytest.mark.parametrize("inpainter", [None, "filler"])
def test_samples_differ_in_the_mask_alone(studio, reference, inpainter):
    image, mask = picture(64, 64), mask_of((64, 64), (8, 8, 40, 56))
    drawn = studio.draw(image=reference(image), mask=reference(mask), samples=3, inpainter=inpainter)
    assert len({one.tobytes() for one in drawn}) == 3
    for one in drawn:
        before, after, _ = split(image, one, mask)
        assert (before == after).all()


def test_an_inverted_mask_paints_the_rest(studio, reference):
    image, mask = picture(64, 64), mask_of((64, 64), (8, 8, 40, 56))
    asked = {"image": reference(image), "strength": 1.0}
    (inverted,) = studio.draw(mask=reference(mask), invert_mask=True, **asked)
    (other,) = studio.draw(mask=reference(mask.point(lambda level: 255 - level)), **asked)
    assert inverted.tobytes() == other.tobytes()


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("inpainter", [None, "filler"])
@pytest.mark.parametrize(("width", "height"), [(200, 168), (203, 131)])
def test_a_crop_is_pasted_back(studio, reference, width, height, inpainter, samples):
    image, mask = picture(width, height), mask_of((width, height), (70, 60, 100, 90))
    job = studio.job(
        image=reference(image), mask=reference(mask), inpainter=inpainter, strength=1.0, inpaint_feather=16,
        samples=samples, chunking_size=32,
    )  # fmt: skip
    (node,) = job.bench.plan.nodes
    assert node.crop is not None
    for drawn in studio.run(job, job.steps[:1]).images:
        before, after, moved = split(image, drawn, mask)
        assert (before == after).all()
        assert moved > 5


def test_the_feather_of_a_mask_blends(studio, reference):
    image = picture(64, 64)
    soft = Image.linear_gradient("L").resize((64, 64))
    hard = soft.point(lambda level: 255 if level >= 128 else 0)
    asked = {"image": reference(image), "strength": 1.0}
    one, other = (
        np.asarray(studio.draw(mask=reference(mask), **asked)[0]).astype(int) for mask in (soft, hard)
    )
    levels, before = np.asarray(soft).astype(int)[..., None], np.asarray(image).astype(int)
    grey = levels[:, 0, 0] >= 128
    blend = (other * levels + before * (255 - levels)) / 255
    assert np.abs(one[grey] - blend[grey]).max() <= 1.5


@pytest.mark.parametrize("asked", [{"strength": 0.0}, {"strength": 0.2, "num_inference_steps": 4}])
def test_no_strength_gives_the_image_back(studio, reference, ramp, asked):
    mask = mask_of(ramp.size, (8, 8, 40, 40))
    for more in ({}, {"mask": reference(mask)}):
        job = studio.job(image=reference(ramp), samples=2, **asked, **more)
        drawn = studio.run(job, job.steps[:1]).images
        assert [one.tobytes() for one in drawn] == [ramp.tobytes()] * 2
        job.bench.tick("done", ticks=0)
        assert job.bench._step == progress_ticks(job.bench.plan)


def test_no_strength_fits_the_image(studio, reference):
    image = Image.new("RGB", (32, 64), (9, 99, 199))
    (drawn,) = studio.draw(image=reference(image), width=64, height=64, fit="contain", anchor="top-right",
                           strength=0.0)  # fmt: skip
    levels = np.asarray(drawn)
    assert (levels[:, :32] == 0).all()
    assert (levels[:, 32:] == (9, 99, 199)).all()


@pytest.mark.parametrize("fit", ["actual", "contain"])
@pytest.mark.parametrize("anchor", ["top-left", "center-center", "bottom-right"])
def test_outpainting_keeps_the_image(studio, reference, fit, anchor):
    image = picture(32, 64)
    job = studio.job(image=reference(image), width=96, height=64, fit=fit, anchor=anchor)
    assert job.bench.plan.nodes[0].outpaint
    (drawn,) = studio.run(job, job.steps[:1]).images
    left = {"top-left": 0, "center-center": 32, "bottom-right": 64}[anchor]
    assert drawn.crop((left, 0, left + 32, 64)).tobytes() == image.tobytes()
    rest = np.delete(np.asarray(drawn), np.s_[left : left + 32], axis=1)
    assert rest.std() > 5


def test_what_is_transparent_is_outpainted(studio, reference):
    image = picture(64, 64).convert("RGBA")
    image.paste((255, 0, 0, 0), (40, 0, 64, 64))
    (drawn,) = studio.draw(image=reference(image), inpainter="filler")
    assert drawn.mode == "RGB"
    assert drawn.crop((0, 0, 40, 64)).tobytes() == image.convert("RGB").crop((0, 0, 40, 64)).tobytes()


@pytest.mark.parametrize("size", [(40, 32), (64, 24), (51, 44)])
def test_small_canvases_are_drawn_larger(studio, reference, size):
    width, height = size
    image, mask = picture(width, height), mask_of(size, (3, 3, 20, 20))
    asked = {"width": width, "height": height, "scale_to_model_size": True}
    for more in (
        {}, {"image": reference(image)}, {"image": reference(image), "mask": reference(mask), "strength": 1.0},
    ):  # fmt: skip
        job = studio.job(**asked, **more)
        (node,) = job.bench.plan.nodes
        assert min(node.canvas_px) == 64
        (drawn,) = studio.run(job, job.steps[:1]).images
        assert drawn.size == size
        if "mask" in more:
            before, after, moved = split(image, drawn, mask)
            assert (before == after).all()
            assert moved > 5


@pytest.mark.parametrize("scheduler", ["ddim", "heun", "pndm"])
@pytest.mark.parametrize("inpainter", [None, "filler"])
def test_ticks_add_up(studio, reference, scheduler, inpainter):
    image, mask = picture(112, 64), mask_of((112, 64), (8, 8, 100, 60))
    job = studio.job(
        image=reference(image), mask=reference(mask), chunking_size=32, scheduler=scheduler, samples=2,
        num_inference_steps=6, image_callback_steps=2, inpainter=inpainter,
    )  # fmt: skip
    studio.run(job, job.steps[:1])
    job.bench.tick("done", ticks=0)
    assert job.bench._step == progress_ticks(job.bench.plan)


def test_intermediates_show_the_whole_picture(studio, reference):
    image, mask = picture(200, 168), mask_of((200, 168), (70, 60, 100, 90))
    job = studio.job(
        image=reference(image),
        mask=reference(mask),
        num_inference_steps=6,
        image_callback_steps=2,
        strength=1.0,
    )
    studio.run(job, job.steps[:1])
    shown = [event.intermediates for event in job.told if getattr(event, "intermediates", ())]
    with Image.open(studio.host.folders.intermediates / shown[0][0]) as preview:
        ratio = preview.width / preview.height
    assert ratio == pytest.approx(200 / 168, rel=0.05)


def test_the_same_plan_makes_the_same_picture(studio, reference):
    image, mask = picture(64, 64), mask_of((64, 64), (8, 8, 40, 56))
    plan = studio.plan(image=reference(image), mask=reference(mask), inpainter="filler", scheduler="eads")
    one, other = (studio.run(studio.job(plan=plan), order(plan)[:1]).images[0] for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_an_inpainting_model_as_the_model_fills_as_an_inpainter_does(studio, reference, ramp):
    mask = Image.new("L", ramp.size, 0)
    mask.paste(255, (16, 16, 48, 48))
    asked = {"image": reference(ramp), "mask": reference(mask), "num_inference_steps": 2}
    named, beside = studio.draw(model="filler", **asked), studio.draw(inpainter="filler", **asked)
    assert named[0].tobytes() == beside[0].tobytes() != ramp.tobytes()
