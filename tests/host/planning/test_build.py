import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stretto.host import InvocationRequest, Plan, Precision, UpscaleStage
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import Adapter
from stretto.host.errors import InvalidRequestError, NotFoundError
from stretto.host.planning.build import CorePlanning, build_plan, draw_seed
from stretto.host.settings import Settings

IMAGE = ImageRef(path="/inputs/a.png", width=200, height=120, mode="RGB", sha256="a")


def plan_of(view: Any, **asked: Any) -> Plan:
    request = InvocationRequest(**{"prompt": "a cat", "model": "sd1.safetensors", **asked})
    return build_plan(request, view, draw=lambda: 7)


def faults_of(view: Any, **asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, **asked)
    return {fault.field: fault.message for fault in caught.value.faults}


# what is chosen when nothing is said


def test_the_contracts_defaults(view: Any) -> None:
    plan = plan_of(view)
    (node,) = plan.nodes
    assert (plan.width, plan.height, plan.size) == (512, 512, 512)
    assert (plan.chunking_size, plan.chunking_blur) == (64, 64)
    assert (plan.seed, plan.samples, plan.scheduler, plan.multi_scheduler) == (7, 1, None, None)
    assert (node.num_inference_steps, node.guidance_scale, node.strength) == (40, 7.0, 0.8)
    assert (node.prompt, node.negative_prompt) == ("a cat", "")
    assert node.bounds.to_json() == [[0, 0], [512, 512]]
    assert (plan.precision, plan.vae, plan.upscale, plan.notes) == (None, None, (), ())


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("sd1.safetensors", 512),
        ("sd2.safetensors", 512),
        ("sd2v.safetensors", 768),
        ("xl.safetensors", 1024),
        ("own.safetensors", 640),
        ("starter", 128),
    ],
)
def test_the_size_is_the_models(view: Any, model: str, size: int) -> None:
    plan = plan_of(view, model=model)
    assert (plan.size, plan.width, plan.height) == (size, size, size)
    assert plan.chunking_blur == size // 8


def test_without_a_model_the_setting_decides(view: Any) -> None:
    assert plan_of(view, model=None).model.name == "starter"
    view.settings = replace(Settings(), model="xl.safetensors", precision="bfloat16")
    plan = plan_of(view, model=None)
    assert (plan.model.name, plan.precision) == ("xl.safetensors", Precision.BFLOAT16)


def test_a_size_moves_canvas_and_chunks(view: Any) -> None:
    plan = plan_of(view, size=256)
    assert (plan.width, plan.size, plan.chunking_size, plan.chunking_blur) == (256, 256, 32, 32)


@pytest.mark.parametrize(
    ("model_type", "kinds"),
    [("checkpoint", ("checkpoint",)), ("diffusers", ("diffusers",)), (None, ("diffusers", "checkpoint"))],
)
def test_the_type_narrows_the_search(view: Any, model_type: Any, kinds: tuple[str, ...]) -> None:
    plan_of(view, model_type=model_type)
    assert view.asked == [("sd1.safetensors", kinds)]


@pytest.mark.parametrize(
    ("word", "precision"),
    [
        ("full", Precision.FLOAT32),
        ("half", Precision.FLOAT16),
        ("float32", Precision.FLOAT32),
        ("bfloat16", Precision.BFLOAT16),
    ],
)
def test_precision_words(view: Any, word: Any, precision: Precision) -> None:
    assert plan_of(view, precision=word).precision is precision


# who wins: the caller, a stored model, the model itself, the contract


def test_defaults_apply_under_what_is_explicit(view: Any) -> None:
    own = plan_of(view, model="starter")
    assert (own.scheduler, own.chunking_size) == ("dpmsm", 64)
    stored = plan_of(view, model="starter", defaults={"scheduler": "heun", "chunking_size": 32, "samples": 2})
    assert (stored.scheduler, stored.chunking_size, stored.samples) == ("heun", 32, 2)
    said = plan_of(
        view,
        model="starter",
        scheduler="ddim",
        chunking_size=0,
        samples=3,
        defaults={"scheduler": "heun", "samples": 2},
    )
    assert (said.scheduler, said.chunking_size, said.samples) == ("ddim", 0, 3)


def test_zero_is_said(view: Any) -> None:
    plan = plan_of(view, seed=0, guidance_scale=0.0, chunking_size=0, chunking_blur=0)
    assert (plan.seed, plan.nodes[0].guidance_scale) == (0, 0.0)
    assert (plan.chunking_size, plan.chunking_blur) == (0, 0)


def test_seeds_are_drawn_below_two_to_the_32() -> None:
    drawn = {draw_seed() for _ in range(50)}
    assert len(drawn) > 40
    assert all(0 <= seed < 2**32 for seed in drawn)


def test_names_are_the_proper_ones(view: Any) -> None:
    plan = plan_of(view, scheduler="heun-alias", vae="vae-ft-ema")
    assert (plan.scheduler, plan.vae_name) == ("heun", "ema")
    assert plan.vae is not None
    assert plan.vae.name == "ema.st"
    assert plan.base().vae is plan.vae


def test_a_vae_may_be_a_file(view: Any) -> None:
    assert plan_of(view, vae="file.safetensors").vae_name == "file.safetensors"


# prompts


def test_the_models_words_come_last_and_nothing_is_reordered(view: Any) -> None:
    plan = plan_of(
        view,
        prompt="(zebra:1.2), apple",
        negative_prompt="blur",
        model_prompt="RAW photo, 4k",
        model_negative_prompt="ugly",
    )
    assert (plan.prompt, plan.negative_prompt) == ("(zebra:1.2), apple", "blur")
    assert plan.nodes[0].prompt == "(zebra:1.2), apple, RAW photo, 4k"
    assert plan.nodes[0].negative_prompt == "blur, ugly"


def test_the_models_words_alone_are_a_prompt(view: Any) -> None:
    assert plan_of(view, prompt=None, model_prompt="a dog").nodes[0].prompt == "a dog"


# canvas


def test_an_image_gives_the_canvas(view: Any) -> None:
    plan = plan_of(view, image=IMAGE, prompt=None)
    assert (plan.width, plan.height) == (200, 120)
    assert plan.nodes[0].image is IMAGE


def test_an_image_is_fitted_into_a_canvas_that_was_asked_for(view: Any) -> None:
    plan = plan_of(view, image=IMAGE, width=64, height=64, fit="cover", anchor="top-right")
    assert (plan.width, plan.height) == (64, 64)
    assert (plan.nodes[0].fit, plan.nodes[0].anchor) == ("cover", "top-right")


def test_an_odd_canvas_stays_as_asked_and_says_how_it_is_drawn(view: Any) -> None:
    plan = plan_of(view, width=500, height=301)
    assert (plan.width, plan.height) == (500, 301)
    assert (plan.nodes[0].width, plan.nodes[0].height) == (500, 301)
    assert plan.notes == ("drawn at 504 x 304, multiples of 8, and cropped to 500 x 301",)


def test_an_odd_size_and_a_tiny_move_are_raised(view: Any) -> None:
    plan = plan_of(view, size=500, chunking_size=3)
    assert (plan.size, plan.width, plan.height, plan.chunking_size) == (504, 500, 500, 8)
    assert plan.notes == (
        "size 500 was raised to 504, a multiple of 8",
        "drawn at 504 x 504, multiples of 8, and cropped to 500 x 500",
        "chunking_size 3 was raised to 8, the smallest move",
    )


# schedulers over windows


def test_windows_keep_the_scheduler_and_say_so(view: Any) -> None:
    plan = plan_of(view, width=640, scheduler="heun")
    assert (plan.scheduler, plan.multi_scheduler) == ("heun", "heun")
    assert plan.notes == (
        (
            "3 windows, and the scheduler stays 'heun': it steps once over the blended canvas, so it needs no "
            "change to 'ddim'; set multi_scheduler for another one"
        ),
    )
    assert (
        plan_of(view, width=640).notes[0].startswith("3 windows, and the scheduler stays the model's own: ")
    )


@pytest.mark.parametrize("scheduler", ["ddim", "eds"])
def test_what_the_original_kept_needs_no_word(view: Any, scheduler: str) -> None:
    plan = plan_of(view, width=640, scheduler=scheduler)
    assert (plan.multi_scheduler, plan.notes) == (scheduler, ())


def test_a_multi_scheduler_is_used_for_windows(view: Any) -> None:
    plan = plan_of(view, width=640, scheduler="heun", multi_scheduler="eds")
    assert (plan.scheduler, plan.multi_scheduler, plan.notes) == ("heun", "eds", ())


def test_no_chunking_is_one_window(view: Any) -> None:
    plan = plan_of(view, width=640, chunking_size=0, scheduler="heun")
    assert (plan.multi_scheduler, plan.notes) == (None, ())


# upscaling


def test_one_enlargement(view: Any) -> None:
    assert plan_of(view, outscale=4, upscale=("lanczos",)).upscale == (
        UpscaleStage(method="lanczos", amount=4),
    )


@pytest.mark.parametrize(
    ("outscale", "methods", "expected"),
    [
        (2, ("lanczos",), "lanczos"),
        (8, ("lanczos",), "lanczos lanczos lanczos"),
        (8, ("nearest", "bicubic"), "nearest bicubic bicubic"),
        (4, ("nearest", "bicubic", "lanczos"), "nearest bicubic"),
        (16, ("nearest",), "nearest nearest nearest nearest"),
    ],
)
def test_iterative_enlargements(view: Any, outscale: int, methods: tuple[str, ...], expected: str) -> None:
    stages = plan_of(view, outscale=outscale, upscale=methods, upscale_iterative=True).upscale
    assert " ".join(stage.method for stage in stages) == expected
    assert {stage.amount for stage in stages} == {2}


def test_half_an_enlargement_is_none_and_noted(view: Any) -> None:
    assert plan_of(view, upscale=("lanczos",)).upscale == ()
    plan = plan_of(view, outscale=4)
    assert (plan.upscale, plan.notes) == ((), ("outscale 4 enlarges nothing without an upscale method",))


def test_methods_without_iterations_are_noted(view: Any) -> None:
    plan = plan_of(view, outscale=4, upscale=("nearest", "lanczos"))
    assert plan.upscale == (UpscaleStage(method="nearest", amount=4),)
    assert plan.notes == ("upscale has 2 methods, and only the first is used without upscale_iterative",)


# what is wrong


@pytest.mark.parametrize(
    ("asked", "field", "message"),
    [
        ({"prompt": None}, "prompt", "is empty and there is no image; say what to draw, or give an image"),
        ({"prompt": "  "}, "prompt", "is empty and there is no image; say what to draw, or give an image"),
        ({"scheduler": "huen"}, "scheduler", "there is no scheduler 'huen'; did you mean 'heun'?"),
        ({"multi_scheduler": "dim"}, "multi_scheduler", "there is no scheduler 'dim'; did you mean 'ddim'?"),
        ({"vae": "/etc/x"}, "vae", "Cannot find or access /etc/x"),
        ({"model": "/etc/x"}, "model", "Cannot find or access /etc/x"),
        ({"vae": "emma"}, "vae", "there is no VAE 'emma'; did you mean 'ema'?"),
        ({"vae": "xl"}, "vae", "'xl' is for sdxl, and the model is sd1; leave it out"),
        ({"upscale": ("lancos",)}, "upscale", "there is no upscaler 'lancos'; did you mean 'lanczos'?"),
        (
            {"upscale": ("nearest", "lancos"), "outscale": 2},
            "upscale[1]",
            "there is no upscaler 'lancos'; did you mean 'lanczos'?",
        ),
        (
            {"model": "refiner.safetensors"},
            "model",
            "'refiner.safetensors' is an SDXL refiner, which only finishes pictures; name an SDXL base model",
        ),
        (
            {"model": "fill.safetensors"},
            "model",
            (
                "'fill.safetensors' is an inpainting model, which only fills masked parts; send an image with a mask "
                "(or with less than the canvas), or name its base model"
            ),
        ),
        (
            {"model": "edit.safetensors"},
            "model",
            "'edit.safetensors' takes 8 input channels; a base model takes 4",
        ),
        (
            {"model": "odd.safetensors"},
            "model",
            "'odd.safetensors' is of no architecture that is known here; known: sd1, sd2, sdxl",
        ),
        (
            {"width": 16384, "height": 16384, "chunking_size": 0, "samples": 2},
            "width",
            (
                "16384 x 16384 px, 2 samples, enlarged 1 times is 536870912 pixels; at most 268435456 are drawn in one "
                "invocation"
            ),
        ),
        (
            {"width": 16384, "height": 16384, "chunking_size": 8},
            "chunking_size",
            "8 px gives 3940225 windows a step; at most 100000 are drawn, so raise it",
        ),
    ],
)
def test_a_fault_names_its_field(view: Any, asked: dict[str, Any], field: str, message: str) -> None:
    assert faults_of(view, **asked) == {field: message}


def test_enlarging_counts_into_the_extent(view: Any) -> None:
    assert plan_of(view, width=1024, height=1024, outscale=16, upscale=("lanczos",)).width == 1024
    assert "width" in faults_of(view, width=1032, height=1024, outscale=16, upscale=("lanczos",))


def test_every_fault_comes_at_once(view: Any) -> None:
    found = faults_of(
        view, prompt="", scheduler="x", multi_scheduler="x", vae="x", upscale=("x", "lanczos", "y")
    )
    assert list(found) == ["prompt", "scheduler", "multi_scheduler", "vae", "upscale[0]", "upscale[2]"]


def test_an_unknown_model_is_not_found_and_a_fault_among_others(view: Any) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'starter'"):
        plan_of(view, model="startr")
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, model="startr", scheduler="x", vae="y", lora=(Adapter(model="z"),))
    assert [fault.field for fault in caught.value.faults] == ["model", "scheduler", "vae", "lora[0].model"]


def test_the_plugin_object_plans(view: Any) -> None:
    plan = CorePlanning().build_plan(InvocationRequest(prompt="x", seed=1), view)
    assert plan == build_plan(InvocationRequest(prompt="x", seed=1), view)
    assert plan.to_json()["resolved"]["seed"] == 1


WITH_THE_HOST = """
import json, sys
from pathlib import Path
from stretto.host import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
folder = Path(sys.argv[1])
(folder / "plugins.toml").write_text("[host]\\nautoload = false\\n")
with Host.open(Folders(folder), Settings(), plugins_file=folder / "plugins.toml") as host:
    plan = host.plan(InvocationRequest(prompt="a red circle", width=256, height=256, outscale=2, upscale=("lanczos",)))
    print(json.dumps(plan.to_json()))
print(sorted({"torch", "diffusers", "transformers", "numpy"} & set(sys.modules)))
"""


def test_the_real_host_plans_over_the_shipped_model_without_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITH_THE_HOST, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text, heavy = done.stdout.splitlines()
    plan = json.loads(text)
    assert (plan["model"], plan["size"], plan["chunking_size"]) == ("starter", 128, 64)
    assert (plan["upscale"]["method"], plan["upscale"]["amount"]) == (["lanczos"], 2)
    assert "9 windows" in plan["resolved"]["notes"][0]
    assert heavy == "[]"


def test_a_pickle_is_planned_and_its_family_left_to_the_loader(view: Any) -> None:
    plan = build_plan(InvocationRequest(prompt="x", model="old.ckpt"), view)
    assert (plan.model.name, plan.model.family, plan.size) == ("old.ckpt", None, 512)
    assert "'old.ckpt' is a pickle" in plan.notes[0]


def test_parameters_of_plugins_stand_in_the_plan_as_they_were_sent(view: Any) -> None:
    sent = {"expander": {"style": "sketch"}}
    assert plan_of(view, plugins=sent).plugins == sent
