from dataclasses import replace
from typing import Any

from stretto.host import Component, Diffuse, InvocationRequest, Plan, Precision, Save, Upscale
from stretto.host.contracts.acceleration import Build
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.steps import Compile
from stretto.host.planning.build import build_plan
from stretto.host.planning.order import order

IMAGE = ImageRef(path="/inputs/a.png", width=512, height=512, mode="RGB", sha256="a")


def plan_of(view: Any, **asked: Any) -> Plan:
    return build_plan(
        InvocationRequest(**{"prompt": "x", "model": "sd1.safetensors", "seed": 1, **asked}), view
    )


def test_draw_and_save(view: Any) -> None:
    plan = plan_of(view)
    draw, save = order(plan)
    assert isinstance(draw, Diffuse)
    assert (draw.node, draw.model) == (plan.nodes[0], plan.base())
    assert draw.why == "draw 512 x 512 px from the prompt, 40 steps"
    assert save == Save(why="save the picture")


def test_each_enlargement_is_a_step_that_says_how_large(view: Any) -> None:
    plan = plan_of(view, outscale=4, upscale=("nearest", "lanczos"), upscale_iterative=True, samples=3)
    _, first, second, save = order(plan)
    assert isinstance(first, Upscale)
    assert isinstance(second, Upscale)
    assert first.why == "enlarge 2 times to 1024 x 1024 px by nearest"
    assert second.why == "enlarge 2 times to 2048 x 2048 px by lanczos"
    assert save.why == "save 3 pictures"


def test_a_drawing_says_what_it_starts_from(view: Any) -> None:
    assert (
        order(plan_of(view, image=IMAGE))[0].why
        == "draw 512 x 512 px from an image at strength 0.8, 32 steps"
    )
    assert (
        order(plan_of(view, width=1024))[0].why == "draw 1024 x 512 px from the prompt, 40 steps in 9 windows"
    )


def test_engines_are_built_and_nothing_is_drawn(view: Any) -> None:
    builds = (
        Build(component=Component.UNET, compiler="onnxruntime"),
        Build(component=Component.VAE_DECODER, compiler="tensorrt_rtx", target="sm89"),
    )
    plan = replace(plan_of(view), builds=builds)
    here, elsewhere = order(plan)
    assert isinstance(here, Compile)
    assert isinstance(elsewhere, Compile)
    assert (here.model, here.size_px) == (plan.base(), 512)
    assert elsewhere.model == replace(plan.base(), precision=Precision.FLOAT16)  # what cards draw in
    assert elsewhere.why == "build the vae_decoder of 'sd1.safetensors' with tensorrt_rtx for sm89"
    refining = replace(
        plan,
        refiner=replace(plan.model, name="fine"),
        refiner_size=768,
        builds=(Build(component=Component.UNET, compiler="onnxruntime", refiner=True),),
    )
    (fine,) = order(refining)
    assert isinstance(fine, Compile)
    assert (fine.model, fine.size_px) == (refining.refines(), 768)
    assert fine.why == "build the unet of 'fine' with onnxruntime"
    asked = order(replace(plan, precision=Precision.FLOAT32))[1]
    assert isinstance(asked, Compile)
    assert asked.model.precision is Precision.FLOAT32
