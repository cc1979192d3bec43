"""Bodies of POST /api/invoke into requests, and every fault in words."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
from stretto.api.inbox import ImageInbox
from stretto.api.parse import parse_invocation
from stretto.host.contracts.request import Adapter, ControlRequest, InvocationRequest, NodeRequest
from stretto.host.errors import InvalidRequestError
from stretto.host.settings import Settings


@pytest.fixture
def inbox(folders):
    return ImageInbox(folders, Settings(), [folders.images, folders.inputs])


def faults(payload, inbox):
    with pytest.raises(InvalidRequestError) as caught:
        parse_invocation(payload, inbox)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_an_empty_body_is_all_defaults(inbox):
    assert parse_invocation({}, inbox) == InvocationRequest()


COERCED = [
    ({"width": "256"}, "width", 256),
    ({"width": 256.0}, "width", 256),
    ({"seed": 0}, "seed", 0),
    ({"seed": "0"}, "seed", 0),
    ({"seed": 2**53 - 1}, "seed", 2**53 - 1),
    ({"guidance_scale": "7.5"}, "guidance_scale", 7.5),
    ({"guidance_scale": 7}, "guidance_scale", 7.0),
    ({"invert_mask": "true"}, "invert_mask", True),
    ({"invert_mask": "no"}, "invert_mask", False),
    ({"invert_mask": 1}, "invert_mask", True),
    ({"outscale": "4"}, "outscale", 4),
    ({"outscale": 4.0}, "outscale", 4),
    ({"prompt": "yes"}, "prompt", "yes"),
    ({"prompt": "42"}, "prompt", "42"),
    ({"prompt": "null"}, "prompt", "null"),
    ({"prompt": '{"a": 1}'}, "prompt", '{"a": 1}'),
    ({"prompt": "2023-08-12"}, "prompt", "2023-08-12"),
    ({"prompt": ""}, "prompt", ""),
    ({"prompt": "ünïcödé 🐈"}, "prompt", "ünïcödé 🐈"),
    ({"width": None}, "width", None),
    ({"samples": None}, "samples", 1),
    ({"lora": "a.safetensors"}, "lora", (Adapter(model="a.safetensors"),)),
    ({"lora": {"model": "a", "weight": 0.5}}, "lora", (Adapter(model="a", weight=0.5),)),
    ({"lora": {"model": "a", "weight": "-0.5"}}, "lora", (Adapter(model="a", weight=-0.5),)),
    ({"lora": {"model": "a", "weight": None}}, "lora", (Adapter(model="a"),)),
    ({"lycoris": ["a", {"model": "b"}]}, "lycoris", (Adapter(model="a"), Adapter(model="b"))),
    ({"inversion": ["a", {"model": "b"}]}, "inversion", (Adapter(model="a"), Adapter(model="b"))),
    ({"inversion": []}, "inversion", ()),
    ({"upscale": "esrgan"}, "upscale", ("esrgan",)),
    ({"upscale": ["esrgan", "lanczos"]}, "upscale", ("esrgan", "lanczos")),
    ({"upscale_diffusion_steps": 50}, "upscale_diffusion_steps", (50,)),
    ({"upscale_diffusion_steps": ["50", 20]}, "upscale_diffusion_steps", (50, 20)),
    ({"upscale_diffusion_prompt": "x"}, "upscale_diffusion_prompt", ("x",)),
    ({"upscale_diffusion_controlnet": "canny"}, "upscale_diffusion_controlnet", ("canny",)),
    ({"upscale_diffusion_controlnet": ["canny", None]}, "upscale_diffusion_controlnet", ("canny", None)),
    ({"upscale_diffusion_strength": [0.1, "0.2"]}, "upscale_diffusion_strength", (0.1, 0.2)),
    ({"inference_steps": 12}, "num_inference_steps", 12),
    ({"inference_steps": 12, "num_inference_steps": 9}, "num_inference_steps", 9),
    ({"inference_steps": 12, "num_inference_steps": None}, "num_inference_steps", 12),
    ({"checkpoint": "x.ckpt"}, "model", "x.ckpt"),
    ({"nodes": []}, "nodes", ()),
    ({"nodes": [{"x": "-8", "w": None, "prompt": "a"}]}, "nodes", (NodeRequest(x=-8, prompt="a"),)),
    (
        {"nodes": [{"inference_steps": "5", "invert_control_image": 1, "width": 8, "bogus": 1, "type": "x"}]},
        "nodes",
        (NodeRequest(num_inference_steps=5, invert=True, w=8),),
    ),
    (
        {"nodes": [{"controlnet": ["tile", {"controlnet": "canny", "scale": 0.5}]}]},
        "nodes",
        (
            NodeRequest(
                controlnets=(
                    ControlRequest(controlnet="tile"),
                    ControlRequest(controlnet="canny", scale=0.5),
                )
            ),
        ),
    ),
    ({"intermediates": False}, "intermediates", False),
]


@pytest.mark.parametrize(("given", "name", "value"), COERCED)
def test_values_are_coerced_by_field(inbox, given, name, value):
    found = getattr(parse_invocation(given, inbox), name)
    assert found == value
    assert type(found) is type(value)


FAULTY = [
    ({"width": "abc"}, "width", '"abc" is not a whole number from 8 to 16384'),
    ({"width": True}, "width", "true is not a whole number from 8 to 16384"),
    ({"width": 0}, "width", "0 is not a whole number from 8 to 16384"),
    ({"width": 30.5}, "width", "30.5 is not a whole number from 8 to 16384"),
    ({"width": 10**300}, "width", "10000"),
    ({"width": [64]}, "width", "a list of 1 is not a whole number"),
    ({"width": {}}, "width", "an object with 0 keys is not"),
    ({"samples": 0}, "samples", "0 is not a whole number from 1 to 64"),
    ({"seed": -1}, "seed", "-1 is not a whole number from 0 to 9007199254740991"),
    ({"seed": 2**53}, "seed", "9007199254740992 is not"),
    ({"strength": 1.5}, "strength", "1.5 is not a number from 0.0 to 1.0"),
    ({"strength": "nan"}, "strength", '"nan" is not a number'),
    ({"strength": False}, "strength", "false is not a number"),
    ({"guidance_scale": float("inf")}, "guidance_scale", "is not a number"),
    ({"guidance_scale": 10**400}, "guidance_scale", "is not a number"),
    ({"prompt": 42}, "prompt", "42 is not text of at most 20000 characters"),
    ({"prompt": "x" * 20001}, "prompt", 'x..." is not text of at most 20000'),
    ({"negative_prompt": ["x"]}, "negative_prompt", "a list of 1 is not text"),
    ({"invert_mask": "maybe"}, "invert_mask", '"maybe" is not true or false'),
    ({"fit": "contian"}, "fit", "one of actual, contain, cover, stretch; did you mean 'contain'?"),
    ({"anchor": "middle"}, "anchor", '"middle" is not one of top-left'),
    ({"outscale": 3}, "outscale", "3 is not one of 1, 2, 4, 8, 16"),
    ({"lora": {"weight": 1}}, "lora[0].model", "is missing"),
    ({"lora": [3]}, "lora[0]", "3 is not an object with model, weight"),
    ({"lora": [{"model": "a", "weight": "x"}]}, "lora[0].weight", '"x" is not a number'),
    ({"lora": [{"model": "a", "weight": True}]}, "lora[0].weight", "true is not a number"),
    ({"lora": {"model": "a", "weight": "inf"}}, "lora[0].weight", '"inf" is not a number'),
    ({"lora": ["x"] * 65}, "lora", "a list of 65 is too long; at most 64"),
    ({"upscale": [4]}, "upscale[0]", "4 is not text"),
    ({"upscale_diffusion_controlnet": [4]}, "upscale_diffusion_controlnet[0]", "4 is not text"),
    ({"upscale_diffusion_steps": [10, True]}, "upscale_diffusion_steps[1]", "true is not a whole number"),
    ({"nodes": {"x": 0}}, "nodes", "an object with 1 keys is not a list"),
    ({"nodes": [1]}, "nodes[0]", "1 is not an object with x, y, w, h, "),
    ({"nodes": [{"w": 8}, {"w": "wide"}]}, "nodes[1].w", '"wide" is not a whole number from 1 to 16384'),
    ({"nodes": [{"w": True}]}, "nodes[0].w", "true is not a whole number"),
    ({"nodes": [{"strength": 2}]}, "nodes[0].strength", "2 is not a number from 0.0 to 1.0"),
    ({"nodes": [{"fit": "contian"}]}, "nodes[0].fit", "did you mean 'contain'?"),
    ({"nodes": [{"controlnets": [{"scale": 1}]}]}, "nodes[0].controlnets[0].controlnet", "is missing"),
    (
        {"nodes": [{}, {"controlnets": [{"controlnet": "tile", "image": 7}]}]},
        "nodes[1].controlnets[0].image",
        "7 is not a data URI",
    ),
    ({"nodes": [{}] * 65}, "nodes", "a list of 65 is too long; at most 64"),
    ({"image": 5}, "image", "5 is not a data URI or a path"),
    ({"nodes": [{}, {"image": {}}]}, "nodes[1].image", "is not a data URI or a path"),
]


@pytest.mark.parametrize(("given", "field", "words"), FAULTY)
def test_a_fault_names_field_value_and_what_would_do(inbox, given, field, words):
    found = faults(given, inbox)
    assert list(found) == [field]
    assert words in found[field]
    assert len(found[field]) < 300


def test_every_fault_is_reported_in_the_order_of_the_fields(inbox):
    payload = {
        "upscale": [1],
        "image": "nowhere.png",
        "width": "wide",
        "lora": {"model": "a", "weight": "nan"},
        "mask": "data:image/png;base64,AAAA",
        "nodes": [{"mask": 7}],
        "prompt": 1,
    }
    assert list(faults(payload, inbox)) == [
        "lora[0].weight", "prompt", "width", "image", "mask", "nodes[0].mask", "upscale[0]",
    ]  # fmt: skip


def test_a_flood_of_faults_is_cut_short(inbox):
    payload = {name: [{}] * 64 for name in ("lora", "lycoris")}
    found = faults(payload, inbox)
    assert len(found) == 51
    assert found["body"] == "78 more faults are not listed"


def test_unknown_keys_are_logged_and_ignored(inbox, caplog):
    with caplog.at_level(logging.INFO, "stretto.api.parse"):
        request = parse_invocation({"prompt": "x", "bogus": 1, "defaults": {"seed": 4}}, inbox)
    assert request == InvocationRequest(prompt="x")
    assert "bogus, defaults" in caplog.text


CONTRACT = """
    model model_type model_prompt model_negative_prompt size refiner inpainter refiner_size
    inpainter_size lora lycoris inversion vae scheduler multi_scheduler chunking_size chunking_blur
    seed width height prompt negative_prompt samples num_inference_steps guidance_scale image mask
    control_image strength invert_mask fit anchor controlnet conditioning_scale
    process_control_image invert_control_image remove_background fill_background scale_to_model_size
    refiner_strength refiner_guidance_scale refiner_aesthetic_score refiner_negative_aesthetic_score
    outscale upscale upscale_iterative upscale_diffusion upscale_diffusion_steps
    upscale_diffusion_guidance_scale upscale_diffusion_strength upscale_diffusion_prompt
    upscale_diffusion_negative_prompt upscale_diffusion_controlnet upscale_diffusion_chunking_size
    upscale_diffusion_chunking_blur upscale_diffusion_scale_chunking_size
    upscale_diffusion_scale_chunking_blur intermediates image_callback_steps nodes
"""


def test_every_parameter_of_the_contract_is_a_field():
    fields = {field.name for field in dataclasses.fields(InvocationRequest)}
    assert set(CONTRACT.split()) <= fields


def test_deeply_nested_values_are_faults_not_crashes(inbox):
    deep = json.loads("[" * 900 + "]" * 900)
    assert list(faults({"width": deep, "lora": deep, "prompt": deep}, inbox)) == [
        "lora[0]",
        "prompt",
        "width",
    ]
