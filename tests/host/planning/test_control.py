"""ControlNets of a request: by name or file, one or several, and one sentence for what is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.host import ControlRequest, Family, InvocationRequest
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.order import order
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.tiny import make_tiny_sd1, make_tiny_sd2, make_tiny_sdxl

PICTURE = ImageRef(path="/inputs/a.png", width=96, height=64, mode="RGB", sha256="0" * 64)
OTHER = ImageRef(path="/inputs/b.png", width=32, height=32, mode="RGB", sha256="1" * 64)


@pytest.fixture(scope="module")
def place(tmp_path_factory: Any) -> Any:
    """Give a host with a ControlNet for Canny and one by a name of its own."""
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    model = make_tiny_sd1(folders.model_folder("diffusers") / "one")
    make_tiny_sd2(folders.model_folder("diffusers") / "two")
    large = make_tiny_sdxl(folders.model_folder("diffusers") / "xl")
    controls = folders.model_folder("controlnet")
    make_tiny_controlnet(controls / "MistoLine", large)
    make_tiny_controlnet(controls / "control_v11p_sd15_canny", model)
    make_tiny_controlnet(controls / "mine", model, seed=11)
    with Host.open(folders, Settings(model="one")) as host:
        yield SimpleNamespace(host=host, folders=folders)


def planned(place: Any, **request: Any) -> Any:
    return place.host.plan(InvocationRequest(**{"prompt": "a red circle", **request}))


def said(place: Any, **request: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        planned(place, **request)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_the_single_form(place):
    plan = planned(place, controlnet="canny", control_image=PICTURE, conditioning_scale=0.7)
    (control,) = plan.nodes[0].controls
    assert (control.controlnet, control.scale, control.start, control.end) == ("canny", 0.7, 0.0, 1.0)
    assert control.weights.name == "control_v11p_sd15_canny"
    assert control.preprocessing.method == "canny"
    assert (plan.width, plan.height) == (96, 64)  # the control image's, as nothing else says it
    shown = plan.to_json()["nodes"][0]
    assert (shown["controlnet"], shown["conditioning_scale"]) == ("canny", 0.7)
    assert shown["control_image"]["width"] == 96


def test_several(place):
    plan = planned(
        place,
        control_image=PICTURE,
        controlnets=(
            ControlRequest(controlnet="canny", scale=0.5, end=0.6),
            ControlRequest(controlnet="mine", image=OTHER, start=0.2, invert=True, process=False),
        ),
    )
    first, second = plan.nodes[0].controls
    assert (first.image, first.scale, first.end, first.invert) == (PICTURE, 0.5, 0.6, False)
    assert (second.image, second.start, second.preprocessing, second.invert) == (OTHER, 0.2, None, True)
    shown = plan.to_json()["nodes"][0]
    assert shown["controlnet"] == ["canny", "mine"]
    assert shown["conditioning_scale"] == [0.5, 1.0]


def test_a_plan_survives_json(place):
    plan = planned(place, controlnet="canny", control_image=PICTURE)
    assert plan_from_json(plan.to_json()) == plan


def test_a_processed_image_is_neither_processed_nor_inverted_twice(place):
    ready = planned(
        place,
        controlnet="canny",
        control_image=PICTURE,
        process_control_image=False,
        invert_control_image=True,
    )
    assert ready.nodes[0].controls[0].preprocessing is None
    assert ready.nodes[0].controls[0].invert
    processed = planned(place, controlnet="canny", control_image=PICTURE, invert_control_image=True)
    assert not processed.nodes[0].controls[0].invert
    assert any("invert_control_image is not used" in note for note in processed.notes)


def test_the_image_itself_is_followed_where_there_is_no_other(place):
    plan = planned(place, controlnet="canny", image=PICTURE)
    assert plan.nodes[0].controls[0].image == PICTURE
    assert any("follows the image" in note for note in plan.notes)


def test_missing_weights_name_file_folder_and_command(place):
    folder = place.folders.model_folder("controlnet")
    (message,) = said(place, controlnet="tile", control_image=PICTURE).values()
    assert "put one of control_v11f1e_sd15_tile.pth" in message
    assert f"into {folder}" in message
    assert f"curl --location --output '{folder / 'control_v11f1e_sd15_tile.pth'}' https://" in message


def test_missing_files_of_a_preprocessor_are_named_too(place):
    faults = said(place, controlnet="line", control_image=PICTURE)
    folder = place.folders.model_folder("preprocessor")
    assert f"sk_model.pth, sk_model2.pth in {folder}" in faults["process_control_image"]
    assert faults["process_control_image"].count("curl ") == 2


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (
            {"controlnet": "zebra", "control_image": PICTURE},
            "controlnet",
            "there is no ControlNet 'zebra'; name",
        ),
        ({"controlnet": "canny"}, "controlnet", "needs an image to follow; send it as control_image"),
        ({"control_image": PICTURE}, "control_image", "without a controlnet"),
        ({"controlnet": "hed", "control_image": PICTURE, "model": "two"}, "controlnet", "is there for sd1"),
        (
            {"controlnets": (ControlRequest(controlnet="canny", image=PICTURE, start=0.5, end=0.5),)},
            "controlnets[0]",
            "start must be below end",
        ),
        ({"controlnet": "../diffusers/one", "control_image": PICTURE}, "controlnet", "is no ControlNet but"),
    ],
)
def test_faults(place, request_, field, words):
    assert words in said(place, **request_)[field]


def test_twelve_names(place):
    assert sorted(place.host.offers("controlnets")) == sorted(
        [
            "canny",
            "mlsd",
            "hed",
            "scribble",
            "tile",
            "inpaint",
            "depth",
            "normal",
            "pose",
            "pidi",
            "line",
            "anime",
        ]
    )
    specs = place.host.offers("controlnets")
    unprocessed = {name for name, spec in specs.items() if spec.preprocessor is None}
    assert unprocessed == {"tile", "inpaint"}
    assert place.host.offer("preprocessors", "canny").files == {}
    assert all(Family.SD1 in spec.weights and Family.SD1 in spec.sources for spec in specs.values())


AGAIN = {"outscale": 4, "upscale": ("lanczos",), "upscale_iterative": True, "upscale_diffusion": True}


def test_a_controlnet_follows_each_stage_of_enlarging(place):
    scales = {"upscale_diffusion_controlnet_scale": (1.5, 0.5)}
    plan = planned(place, upscale_diffusion_controlnet=("canny", "mine"), **scales, **AGAIN)
    first, second = (stage.diffusion.control for stage in plan.upscale)
    assert (first.controlnet, first.weights.name) == ("canny", "control_v11p_sd15_canny")
    assert (first.preprocessing.method, second.preprocessing) == ("canny", None)
    assert (first.scale, second.controlnet, second.scale) == (1.5, "mine", 0.5)
    assert plan.to_json()["upscale"]["diffusion"]["controlnet"] == ["canny", "mine"]
    assert plan_from_json(plan.to_json()) == plan
    assert "25 windows under 'canny'" in order(plan)[2].why


@pytest.mark.parametrize(("asked", "found"), [(("canny",), ["canny"] * 2), ((None, "mine"), [None, "mine"])])
def test_a_short_list_of_them_repeats_its_last_and_null_is_none(place, asked, found):
    plan = planned(place, upscale_diffusion_controlnet=asked, **AGAIN)
    assert plan.to_json()["upscale"]["diffusion"]["controlnet"] == found


def test_what_is_missing_over_enlarged_pictures_is_said_with_the_parameter(place):
    found = said(place, upscale_diffusion_controlnet=("bogus", "hed"), **AGAIN)
    assert found["upscale_diffusion_controlnet[0]"].startswith("there is no ControlNet 'bogus'; name one of")
    message = found["upscale_diffusion_controlnet[1]"]
    assert "ControlNetHED.pth in" in message or "control_v11p_sd15_softedge" in message
    assert "curl --location --output" in message
    assert "process_control_image" not in message
    found = said(place, model="two", upscale_diffusion_controlnet=("tile",), **AGAIN)
    assert "is there for sd1, sdxl, and the model is sd2" in found["upscale_diffusion_controlnet"]


@pytest.mark.parametrize("name", ["line", "anime", "mlsd"])
def test_sdxl_has_networks_of_its_own(place, name):
    asked = {"model": "xl", "controlnet": name, "control_image": PICTURE, "process_control_image": False}
    (control,) = planned(place, **asked).nodes[0].controls
    assert (control.controlnet, control.weights.name) == (name, "MistoLine")
    missing = said(place, **{**asked, "controlnet": "tile"})["controlnet"]
    assert "controlnet-tile-sdxl-1.0.safetensors' https://huggingface.co/xinsir/" in missing


def test_it_guides_nothing_where_nothing_is_drawn_over(place):
    plan = planned(place, outscale=2, upscale=("lanczos",), upscale_diffusion_controlnet=("bogus",))
    assert plan.notes == ("upscale_diffusion_controlnet guides nothing without upscale_diffusion",)


def test_every_missing_file_of_every_name_is_said_with_folder_and_command(place):
    """Of the twelve; the Canny ControlNet is there, and Canny's edges need no file."""
    makers = place.host.offers("preprocessors")
    for name, spec in place.host.offers("controlnets").items():
        if name == "canny":
            continue
        found = said(place, controlnet=name, control_image=PICTURE)
        folder = place.folders.model_folder("controlnet")
        file = spec.weights[Family.SD1][0]
        assert f"curl --location --output '{folder / file}' {spec.sources[Family.SD1]}" in found["controlnet"]
        if spec.preprocessor is None:
            assert "process_control_image" not in found
            continue
        folder = place.folders.model_folder("preprocessor")
        for file, url in makers[spec.preprocessor].files.items():
            assert f"curl --location --output '{folder / file}' {url}" in found["process_control_image"]
