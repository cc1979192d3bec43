"""Nodes on one canvas, over a real host: each as it is drawn by itself, and what they leave empty."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from stretto.api.plan_json import plan_from_json
from stretto.host import NodeRequest
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.nodes import SEED_STRIDE
from stretto.host.steps.save import parameters
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.networks import make_tiny_remover

WIDE = {"width": 128, "height": 64}


def texture(width=64, height=64):
    rows, columns = np.mgrid[0:height, 0:width]
    levels = np.stack([rows * 255 // height, columns * 255 // width, 200 - rows % 50], axis=-1)
    return Image.fromarray(levels.astype(np.uint8))


def drawn(studio, *nodes, **asked):
    job = studio.job(nodes=nodes, **asked)
    frame = studio.run(job)
    job.bench.tick("done", ticks=0)
    assert job.bench._step == progress_ticks(job.bench.plan)
    assert frame.layers == ()
    return frame.images


@pytest.fixture
def remover(studio):
    folder = studio.host.folders.model_folder("background")
    yield make_tiny_remover(folder / "u2net.onnx")
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def follower(studio):
    folder = studio.host.folders.model_folder("controlnet")
    make_tiny_controlnet(folder / "mine", studio.host.folders.model_folder("diffusers") / "one")
    return "mine"


@pytest.mark.parametrize("scheduler", ["ddim", "eads"])
def test_a_node_over_the_whole_canvas_is_the_call_without_it(studio, scheduler):
    node = NodeRequest(w=64, h=64, prompt="a blue star", negative_prompt="red")
    asked = {"scheduler": scheduler, "samples": 2, "num_inference_steps": 3}
    plain = studio.draw(prompt="a blue star", negative_prompt="red", **asked)
    assert drawn(studio, node, prompt=None, **asked) == plain


def test_so_it_is_with_an_image_a_mask_and_a_controlnet(studio, reference, follower):
    image, mask = reference(texture(80, 56)), Image.new("L", (80, 56))
    mask.paste(255, (10, 10, 50, 40))
    mask = reference(mask)
    for given, alike in (
        ({"infer": True}, {"image": image}),
        ({"mask": mask}, {"image": image, "mask": mask}),
        ({"controlnet": follower}, {"control_image": image, "controlnet": follower}),
        ({"infer": True, "controlnet": follower}, {"image": image, "controlnet": follower}),
    ):
        node = NodeRequest(image=image, w=64, h=64, fit="cover", prompt="a star", **given)
        plain = studio.draw(prompt="a star", fit="cover", width=64, height=64, **alike)
        assert drawn(studio, node, prompt=None) == plain, given


def test_each_region_is_what_is_drawn_by_itself(studio):
    nodes = (
        NodeRequest(w=64, h=64, prompt="a cat"),
        NodeRequest(x=48, y=8, w=40, h=48, prompt="a dog", scale_to_model_size=False),
        NodeRequest(x=96, y=-16, w=64, h=64, prompt="a star", seed=40),
        NodeRequest(x=88, y=48, w=40, h=16, prompt="a cat"),
    )
    (picture,) = drawn(studio, *nodes, prompt=None, **WIDE)
    (cat,) = studio.draw(prompt="a cat")
    (dog,) = studio.draw(prompt="a dog", width=40, height=48, seed=1 + SEED_STRIDE)
    (star,) = studio.draw(prompt="a star", seed=40)
    assert picture.mode == "RGBA"  # nobody said what to paint between them
    assert picture.getpixel((92, 4))[3] == 0
    shown = picture.convert("RGB")
    assert shown.crop((0, 0, 48, 64)).tobytes() == cat.crop((0, 0, 48, 64)).tobytes()
    assert shown.crop((48, 8, 88, 48)).tobytes() == dog.crop((0, 0, 40, 40)).tobytes()
    assert shown.crop((96, 0, 128, 48)).tobytes() == star.crop((0, 16, 32, 64)).tobytes()


def test_a_pasted_image_stays_and_the_rest_is_outpainted(studio, reference):
    image = reference(texture(48, 48))
    nodes = (NodeRequest(x=40, y=8, image=image),)
    one, two = drawn(studio, *nodes, samples=2, **WIDE)
    for picture in (one, two):
        assert picture.mode == "RGB"
        assert picture.crop((40, 8, 88, 56)).tobytes() == texture(48, 48).tobytes()
    assert one.tobytes() != two.tobytes()


@pytest.mark.parametrize("chunking_size", [0, 32])
@pytest.mark.parametrize("inpainter", [None, "filler"])
def test_that_is_the_same_as_outpainting_the_image(studio, reference, inpainter, chunking_size):
    asked = {"chunking_size": chunking_size, "inpainter": inpainter, "inpainter_size": 64, **WIDE}
    image = reference(texture(100, 64))
    plain = studio.draw(image=image, **asked)
    assert drawn(studio, NodeRequest(image=image), **asked) == plain


def test_what_is_empty_of_an_image_is_painted_and_then_drawn_over(studio, reference):
    image = reference(texture(40, 40))
    (filled,) = studio.draw(image=image, width=64, height=64)
    over = studio.draw(image=reference(filled), strength=0.5, samples=2)
    node = NodeRequest(w=64, h=64, image=image, infer=True, strength=0.5)
    assert drawn(studio, node, samples=2, width=64, height=64) == over


def test_a_controlnet_follows_what_was_painted(studio, reference, follower):
    image = reference(texture(40, 40))
    (filled,) = studio.draw(image=image, width=64, height=64)
    plain = studio.draw(control_image=reference(filled), controlnet=follower)
    node = NodeRequest(w=64, h=64, image=image, controlnet=follower)
    assert drawn(studio, node, width=64, height=64) == plain
    raw = NodeRequest(w=64, h=64, image=image, controlnet=follower, process_control_image=False, invert=True)
    inverted = studio.draw(
        control_image=image, controlnet=follower, width=64, height=64, process_control_image=False,
        invert_control_image=True,
    )  # fmt: skip
    assert drawn(studio, raw, width=64, height=64) == inverted


def test_only_its_own_node_loses_its_background(studio, remover):
    nodes = (
        NodeRequest(w=64, h=64, prompt="a cat", remove_background=True),
        NodeRequest(x=64, w=64, h=64, prompt="a dog"),
    )
    (picture,) = drawn(studio, *nodes, prompt=None, **WIDE)
    levels = np.asarray(picture.getchannel("A"))
    assert levels[:, :64].min() < 128 < levels[:, :64].max()
    assert (levels[:, 64:] == 255).all()
    (dog,) = studio.draw(prompt="a dog", seed=1 + SEED_STRIDE)
    assert picture.convert("RGB").crop((64, 0, 128, 64)).tobytes() == dog.tobytes()


def test_removed_backgrounds_are_painted_for_every_sample(studio, remover):
    nodes = (
        NodeRequest(w=64, h=64, prompt="a cat", remove_background=True),
        NodeRequest(x=64, w=64, h=64, prompt="a dog", remove_background=True),
    )
    pictures = drawn(studio, *nodes, samples=2, num_inference_steps=3, **WIDE)
    assert [picture.mode for picture in pictures] == ["RGB"] * 2
    assert pictures[0].tobytes() != pictures[1].tobytes()


def test_a_laid_image_loses_its_background_where_it_is(studio, reference, remover):
    image = Image.new("RGB", (64, 64), (250, 250, 250))
    image.paste((9, 7, 5), (32, 0, 64, 64))
    node = NodeRequest(x=32, image=reference(image), remove_background=True)
    (picture,) = drawn(studio, node, prompt=None, **WIDE)
    levels = np.asarray(picture.getchannel("A"))
    assert levels[:, 40:56].max() < 64
    assert levels[:, 80:90].min() > 192
    (filled,) = drawn(studio, node, **WIDE)
    assert filled.mode == "RGB"
    sure = levels == 255
    assert sure.any()
    assert (np.asarray(filled)[sure] == np.asarray(picture.convert("RGB"))[sure]).all()


def test_an_images_background_is_painted_before_it_is_drawn_over(studio, reference, remover):
    image = texture()
    image.paste((250, 250, 250), (0, 0, 32, 64))
    ref = reference(image)
    (filled,) = studio.draw(image=ref, remove_background=True, fill_background=True)
    over = studio.draw(image=reference(filled), strength=0.5)
    node = NodeRequest(image=ref, infer=True, strength=0.5, remove_background=True)
    assert drawn(studio, node, width=64, height=64) == over


def test_the_invocations_image_lies_below(studio, reference):
    image = reference(texture(128, 64))
    (below,) = studio.draw(image=image, strength=0.5)
    node = NodeRequest(x=64, w=32, h=32, prompt="a star", scale_to_model_size=False)
    (picture,) = drawn(studio, node, image=image, strength=0.5)
    (star,) = studio.draw(prompt="a star", width=32, height=32, seed=1 + SEED_STRIDE)
    assert picture.crop((64, 0, 96, 32)).tobytes() == star.tobytes()
    assert picture.crop((0, 0, 64, 64)).tobytes() == below.crop((0, 0, 64, 64)).tobytes()


def test_refined_enlarged_and_shown_on_the_way(studio, reference):
    nodes = (
        NodeRequest(w=64, h=64, prompt="a cat", refiner_strength=0.75),
        NodeRequest(x=80, w=32, h=32, image=reference(texture(32, 32))),
    )
    (picture,) = drawn(
        studio, *nodes, refiner="one", refiner_strength=0.5, outscale=2, upscale=("lanczos",),
        upscale_diffusion=True, upscale_diffusion_steps=(4,), upscale_diffusion_strength=(0.5,),
        image_callback_steps=2, chunking_size=32, **WIDE,
    )  # fmt: skip
    assert (picture.mode, picture.size) == ("RGB", (256, 128))


def test_drawn_parts_that_show_no_more_are_counted_all_the_same(studio, reference, remover):
    """What may be empty after a background is removed is covered by a later node."""
    nodes = (
        NodeRequest(w=64, h=64, prompt="a cat", remove_background=True),
        NodeRequest(w=64, h=64, image=reference(texture())),
    )
    plan = studio.plan(nodes=nodes, width=64, height=64)
    assert plan.remainder is None
    cut = NodeRequest(image=reference(Image.new("RGB", (64, 64))), remove_background=True)
    pictures = drawn(studio, cut, width=64, height=64)  # all of it is the subject: nothing is painted
    assert [picture.size for picture in pictures] == [(64, 64)]


def test_a_recorded_plan_draws_the_same_again(studio, reference, follower, remover):
    nodes = (
        NodeRequest(w=64, h=64, prompt="a cat", remove_background=True),
        NodeRequest(x=64, w=64, h=64, image=reference(texture(40, 40)), infer=True, controlnet=follower),
    )
    plan = studio.plan(nodes=nodes, num_inference_steps=2, **WIDE)
    again = plan_from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert studio.run(studio.job(plan=again)).images == studio.run(studio.job(plan=plan)).images


@pytest.mark.parametrize(
    "asked",
    [
        {"nodes": (NodeRequest(w=1, h=1, prompt="a"), NodeRequest(x=5, w=3, h=70, prompt="b"))},
        {"nodes": (NodeRequest(x=-60, y=-60, w=64, h=64, prompt="a"),), "width": 100, "height": 50},
        {"nodes": (NodeRequest(w=64, h=64, prompt="a"),), "refiner": "one", "refiner_start": 0.5},
        {"nodes": (NodeRequest(w=32, h=48, prompt="a"),), "model": "xl", "samples": 2},
        {"nodes": (NodeRequest(w=128, h=40, prompt="a"),), "width": 192, "chunking_size": 32, "tile": (True, False)},
    ],
    ids=["tiny", "odd", "handed over", "xl", "windows"],
)  # fmt: skip
def test_odd_places_and_sizes(studio, asked):
    asked = {"num_inference_steps": 2, "image_callback_steps": 1, **WIDE, **asked}
    pictures = drawn(studio, *asked.pop("nodes"), **asked)
    assert {(picture.mode, picture.size) for picture in pictures} == {
        ("RGB", (asked["width"], asked["height"]))
    }


def test_other_programs_read_the_words_of_the_whole(studio):
    nodes = (NodeRequest(w=64, h=64, prompt="a cat"), NodeRequest(x=64, w=64, h=64, prompt="a dog"))
    asked = {"nodes": nodes, "negative_prompt": "red", **WIDE}
    assert parameters(studio.plan(**asked), "0").startswith("a red circle\nNegative prompt: red\nSteps: 4")
    assert parameters(studio.plan(**{**asked, "prompt": None}), "0").startswith("a cat, a dog\nNegative")
