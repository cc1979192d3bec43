"""Every parameter, sent wrong in every way: 400 with its name, never 500, and nothing is queued."""

from __future__ import annotations

import random
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Le, MaxLen
from stretto.api.fields import checked, hints_of
from stretto.api.inbox import ImageInbox
from stretto.api.parse import parse_invocation
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import INTERNAL, ControlRequest, InvocationRequest, NodeRequest
from stretto.host.errors import StrettoError
from stretto.host.settings import Settings

HUGE = 10**400
PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGP8zwABTAwUMQBJQQEPeWDz+AAAAABJRU5ErkJggg=="
NUMBERS = [
    "",
    " ",
    "x",
    "nan",
    "inf",
    "-inf",
    "1e999",
    True,
    False,
    [],
    [[1]],
    {},
    {"a": 1},
    HUGE,
    -HUGE,
    "1" * 5000,
]
WHOLE = [*NUMBERS, 1.5, "1.5", 2**63, -(2**63), 1e300]
TEXTS = [1, 1.5, True, {}, {"a": 1}, HUGE]
FLAGS = ["", "maybe", 2, -1, 1.5, [], {}, HUGE, "nan"]
PICTURES = [
    1, True, 1.5, {}, [], "", " ", "nowhere.png", "/etc/passwd", "../stretto.db", "\0", "x" * 9000,
    "data:", "data:image/png;base64,", "data:image/png;base64,!!!!", "data:image/png;base64,AAAA",
    "http://127.0.0.1/a.png", "file:///etc/passwd",
]  # fmt: skip

AXES = [1, "", "z", [], [1, 1], [True], [True] * 3, {}, [[True, True]], HUGE, "nan"]
LISTS = [1, True, [1], [[]], [[{}]], [None], {"a": 1}, [{"model": {}, "w": []}], [True], HUGE]


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) in (Union, UnionType):
        return unwrapped(next(part for part in get_args(hint) if part is not NoneType))
    if get_origin(hint) is Annotated:
        inner, *bounds = get_args(hint)
        plain, more = unwrapped(inner)
        return plain, (*bounds, *more)
    return hint, ()


def limits(hint: Any) -> tuple[Any, Any]:
    _, bounds = unwrapped(hint)
    low = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    high = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    return low, high


def wrong(hint: Any) -> list[Any]:
    """Give values that a type hint does not admit."""
    plain, bounds = unwrapped(hint)
    low, high = limits(hint)
    beyond = [end + step for end, step in ((low, -1), (high, 1)) if end is not None]
    beyond += [str(value) for value in beyond]
    simple = {
        bool: FLAGS, int: WHOLE + beyond, float: NUMBERS + beyond, ImageRef: PICTURES,
    }  # fmt: skip
    if plain in simple:
        return simple[plain]
    if get_origin(plain) is Literal:
        return ["", "bogus", [], {}, True, 1.5, HUGE, 3, "3"]
    if get_origin(plain) is tuple:
        inner = get_args(plain)[0]
        lists = [[value] for value in wrong(inner)]
        return [*lists, [None] * 65] if inner is not Any else lists
    if plain is str:
        longest = next((bound.max_length for bound in bounds if isinstance(bound, MaxLen)), None)
        return [*TEXTS, *(["x" * (longest + 1)] if longest else [])]
    return [1, True, 1.5, [], [[]], HUGE]  # an object


def names_of(owner: type) -> list[str]:
    return [field.name for field in fields(owner) if field.name not in INTERNAL]


# Words that a table of types cannot tell; each has tests of its own.
OWN_RULES = {"tile", "controlnets", "nodes"}


def test_every_parameter(still):
    sent = [
        ({"prompt": "x", name: value}, name)
        for name in names_of(InvocationRequest)
        for value in wrong(hints_of(InvocationRequest)[name])
        if name not in OWN_RULES
    ]
    assert len(sent) > 500
    assert [said for body, field in sent if (said := unrefused(still, body, field))] == []
    assert still.store.waiting() == 0


def test_every_parameter_of_nodes_and_controlnets(still):
    sent = [
        ({"prompt": "x", "nodes": [{"w": 64, "h": 64}, {"w": 64, "h": 64, name: value}]}, f"nodes[1].{name}")
        for name in names_of(NodeRequest)
        for value in wrong(hints_of(NodeRequest)[name])
        if name not in OWN_RULES
    ]
    sent += [
        ({"prompt": "x", "controlnets": [{"controlnet": "canny", name: value}]}, f"controlnets[0].{name}")
        for name in names_of(ControlRequest)
        for value in wrong(hints_of(ControlRequest)[name])
    ]
    assert [said for body, field in sent if (said := unrefused(still, body, field))] == []
    assert still.store.waiting() == 0


def test_axes_and_lists_of_objects(still):
    sent = [({"prompt": "x", "tile": value}, "tile") for value in AXES]
    for name in ("nodes", "layers", "controlnets", "lora", "lycoris", "inversion", "upscale"):
        sent += [({"prompt": "x", name: value}, name) for value in LISTS]
    assert [said for body, field in sent if (said := unrefused(still, body, field))] == []


def unrefused(still, body, field):
    """Say how an answer is not the one that a faulty field calls for."""
    answer = still.client.post("/api/invoke", body)
    if answer.status != 400:
        return f"{field}: {str(body)[:200]} gave {answer.status}: {answer.body[:200]!r}"
    if not any(detail.startswith(field) for detail in answer.details):
        return f"{field}: {str(body)[:200]} blames {answer.details}"
    return "too long" if any(len(detail) > 1000 for detail in answer.details) else ""


def ends(owner: type) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name in names_of(owner):
        hint = hints_of(owner)[name]
        plain, _ = unwrapped(hint)
        inner = get_args(plain)[0] if get_origin(plain) is tuple and get_args(plain) else hint
        found += [(name, [end] if inner is not hint else end) for end in limits(inner) if end is not None]
    return found


@pytest.mark.parametrize("owner", [InvocationRequest, NodeRequest])
def test_the_ends_of_ranges_are_in_them(owner):
    assert len(ends(owner)) > 20
    for name, end in ends(owner):
        made, faults = checked(owner, {name: end})
        assert made is not None, (name, end, faults)


NEAR = [
    ({"fit": "contian"}, "did you mean 'contain'?"),
    ({"anchor": "top-centre"}, "did you mean 'top-center'?"),
    ({"precision": "flaot16"}, "did you mean 'float16'?"),
    ({"model_type": "chekpoint"}, "did you mean 'checkpoint'?"),
    ({"region_mode": "latnet"}, "did you mean 'latent'?"),
    ({"scheduler": "edas"}, "did you mean 'eds'?"),
    ({"multi_scheduler": "ddin"}, "did you mean 'ddim'?"),
    ({"upscale": "lancos", "outscale": 2}, "did you mean 'lanczos'?"),
    ({"vae": "msee"}, "did you mean 'mse'?"),
    ({"controlnet": "cany"}, "canny"),
    ({"nodes": [{"w": 64, "h": 64, "fit": "covr"}]}, "did you mean 'cover'?"),
]


def test_a_near_miss_is_told_the_word(still):
    said = []
    for given, words in NEAR:
        answer = still.client.post("/api/invoke", {"prompt": "x", **given})
        if answer.status != 400 or not any(words in detail for detail in answer.details):
            said.append((given, answer.status, answer.body))
    assert said == []


def test_faults_of_values_and_of_their_meaning_come_in_one_answer(still):
    body = {
        "prompt": "x", "width": "wide", "samples": 0, "scheduler": "edas", "vae": "nope", "lora": ["gone.safetensors"],
        "refiner": "nobody", "outscale": 2, "upscale": ["lancos"], "clip_skip": 9, "strength": "nan",
    }  # fmt: skip
    answer = still.client.post("/api/invoke", body)
    assert answer.status == 400
    named = {detail.split(":")[0] for detail in answer.details}
    assert named == {
        "width", "samples", "strength", "scheduler", "vae", "lora[0].model", "refiner", "upscale", "clip_skip",
    }  # fmt: skip


def test_what_stands_on_a_faulty_value_is_not_blamed(still):
    answer = still.client.post("/api/invoke", {"image": "nowhere.png", "scheduler": "edas"})
    assert [detail.split(":")[0] for detail in answer.details] == ["image", "scheduler"]  # not the prompt
    answer = still.client.post("/api/invoke", {"model": "nobody", "prompt": "x", "width": 0})
    assert [detail.split(":")[0] for detail in answer.details] == ["width", "model"]


def test_whatever_is_in_range_plans_or_is_refused_in_words(still):
    """Ends of ranges, thrown together: planning raises nothing but what it means to."""
    throw = random.Random(20261122)
    table: dict[str, list[Any]] = {}
    for name, end in ends(InvocationRequest):
        table.setdefault(name, []).append(end)
    for name, hint in hints_of(InvocationRequest).items():
        plain, _ = unwrapped(hint)
        if get_origin(plain) is Literal:
            table[name] = list(get_args(plain))
        elif plain is bool and name != "safe":
            table[name] = [True, False]
    table |= {
        "scheduler": ["ddim", "dpmsde"],
        "upscale": [["lanczos"], ["nearest", "bicubic"]],
        "tile": [True, "x"],
    }
    inbox, statuses = ImageInbox(still.folders, Settings(), []), []
    for _ in range(300):
        body = {
            "prompt": "x",
            **{name: throw.choice(values) for name, values in table.items() if throw.random() < 0.1},
        }
        try:
            still.host.plan(parse_invocation(body, inbox)).to_json()
            statuses.append(200)
        except StrettoError as error:
            statuses.append(error.status if str(error) else 0)
    assert set(statuses) <= {200, 400, 404}
    assert statuses.count(200) > 30
    assert statuses.count(400) > 30


NAMES = [
    "\0",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "x" * 1000,
    "x" * 5000,
    "\n",
    "a\\b",
    "%2e%2e/x",
    "💥",
    ".",
]


def test_names_of_nothing_are_refused_whatever_is_in_them(still):
    single = ["model", "refiner", "inpainter", "vae", "scheduler", "multi_scheduler", "controlnet"]
    bodies = [({name: word}, name) for name in single for word in NAMES]
    bodies += [({name: [word]}, name) for name in ("lora", "lycoris", "inversion") for word in NAMES]
    bodies += [({"upscale": word, "outscale": 2}, "upscale") for word in NAMES]
    said = []
    for body, field in bodies:
        answer = still.client.post("/api/invoke", {"prompt": "x", "control_image": None, **body})
        if answer.status not in (400, 404) or any(len(detail) > 12000 for detail in answer.details):
            said.append((field, body, answer.status, answer.body[:200]))
        elif answer.status == 400 and not answer.details[0].startswith(field):
            said.append((field, answer.details))
    assert said == []


def test_names_in_paths(still):
    said = []
    for method in ("GET", "PATCH", "DELETE"):
        for part in ("models", "users", "invocation", "invocation-history"):
            for word in ("x" * 300, "x" * 5000, "%00", "%2e%2e%2fetc", "%F0%9F%92%A5"):
                body = {} if method == "PATCH" else None
                answer = still.client.call(method, f"/api/{part}/{word}", body)
                if answer.status not in (400, 404):
                    said.append((method, part, word[:9], answer.status, answer.body[:300]))
    assert said == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"model": "cut.safetensors"}, "model"),
        ({"lora": "cut"}, "lora[0].model"),
        ({"vae": "cut"}, "vae"),
        ({"refiner": "cut.safetensors"}, "refiner"),
        ({"inpainter": "cut.safetensors", "image": PICTURE, "mask": PICTURE}, "inpainter"),
        ({"controlnet": "cut", "image": PICTURE}, "controlnet"),
    ],
)
def test_a_broken_file_is_a_fault_of_its_field_among_others(still, given, field):
    for folder in ("checkpoint", "lora", "vae", "controlnet"):
        file = still.host.folders.model_folder(folder) / "cut.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    try:
        answer = still.client.post("/api/invoke", {"prompt": "x", "scheduler": "edas", **given})
    finally:
        for folder in ("checkpoint", "lora", "vae", "controlnet"):
            (still.host.folders.model_folder(folder) / "cut.safetensors").unlink()
    assert answer.status == 400
    assert sorted(detail.split(":")[0] for detail in answer.details) == sorted((field, "scheduler"))
    assert "cut.safetensors is not a whole safetensors file" in str(answer.details)


def test_an_unknown_model_and_a_lost_image_hide_no_other_name(still):
    body = {
        "prompt": "x",
        "model": "strater",
        "scheduler": "edas",
        "vae": "v",
        "lora": "nope",
        "width": "abc",
    }
    for more in ({}, {"image": "nope.png"}):
        answer = still.client.post("/api/invoke", {**body, **more})
        assert answer.status == 400
        named = {detail.split(":")[0] for detail in answer.details}
        assert named == {"model", "scheduler", "vae", "lora[0].model", "width", *more}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"controlnet": [{"controlnet": "canny", "scale": -3}]}, "controlnet[0].scale"),
        ({"controlnet": {"controlnet": "canny", "scale": -3}}, "controlnet.scale"),
        ({"controlnets": [{"controlnet": "canny", "scale": -3}]}, "controlnets[0].scale"),
        ({"nodes": [{"controlnet": [{"controlnet": "canny", "end": 3}]}]}, "nodes[0].controlnet[0].end"),
    ],
)
def test_a_controlnet_is_called_as_it_was_sent(still, given, field):
    answer = still.client.post("/api/invoke", {"prompt": "x", **given})
    assert (answer.status, answer.details[0].split(":")[0]) == (400, field)
