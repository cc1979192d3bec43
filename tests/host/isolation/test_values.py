from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from stretto.host import (
    Acceleration,
    Bounds,
    Failed,
    Family,
    Finished,
    InvalidRequestError,
    InvocationRequest,
    NodeRequest,
    NotFoundError,
    Plan,
    PluginError,
    StepProgress,
    WeightFile,
    WeightKind,
)
from stretto.host.contracts.events import Event
from stretto.host.contracts.plain import plain
from stretto.host.contracts.plan import Node, Rediffusion, UpscaleStage
from stretto.host.errors import Fault
from stretto.host.isolation.values import (
    error_from,
    error_json,
    event_from,
    event_json,
    packed,
    read_as,
    unpacked,
)

MODEL = WeightFile(path="/m", kind=WeightKind.DIFFUSERS, family=Family.SDXL)
NODE = Node(
    bounds=Bounds(left=0, top=0, right=64, bottom=64),
    width=64,
    height=64,
    prompt="ein Kreis \N{BLACK CIRCLE}",
    negative_prompt="",
    num_inference_steps=3,
    guidance_scale=7,
    strength=1.0,
)
PLAN = Plan(
    model=MODEL,
    size=64,
    width=64,
    height=64,
    seed=2**53 - 1,
    samples=1,
    prompt="a circle",
    negative_prompt="",
    nodes=(replace(NODE, children=(NODE,)), NODE),
    scheduler=None,
    multi_scheduler=None,
    chunking_size=0,
    chunking_blur=0,
    tile=(True, False),
    upscale=(
        UpscaleStage(
            method="x",
            amount=2,
            weights=MODEL,
            diffusion=Rediffusion(
                prompt="",
                negative_prompt="",
                num_inference_steps=1,
                guidance_scale=1.0,
                strength=0.5,
                chunking_size=8,
                chunking_blur=0,
            ),
        ),
    ),
    plugins={"mine": {"style": "bold", "many": [1, 2.5, None]}},
    acceleration=Acceleration(requested="tensorrt"),
)


def _there(value: Any) -> Any:
    """Send a value and read it as its own type."""
    return read_as(type(value), unpacked(packed({"value": value}))["value"], "value")


@pytest.mark.parametrize(
    "value",
    [
        PLAN,
        InvocationRequest(
            prompt="x", tile=(True, True), nodes=(NodeRequest(x=-5, w=8),), plugins={"a": {"b": 1}}
        ),
        MODEL,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_the_same_on_the_other_side(value: Any) -> None:
    assert _there(value) == value


def test_the_kinds_of_words_are_kept() -> None:
    assert type(_there(PLAN).model.kind) is WeightKind


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("width",), "64", "plan.width must be int, not '64'"),
        (("width",), True, "plan.width must be int, not True"),
        (("nodes", 0, "strength"), None, "plan.nodes[0].strength must be float, not None"),
        (("nodes", 0, "bounds"), [0, 0, 1, 1], "plan.nodes[0].bounds must be an object, not [0, 0, 1, 1]"),
        (("tile",), [True], "plan.tile must have 2 items, not [True]"),
        (("model", "kind"), "cake", "plan.model.kind must be one of "),
        (("region_mode",), "glue", "plan.region_mode must be one of ('paste', 'latent'), not 'glue'"),
        (("colour",), 1, "plan has fields of Plan only, not ['colour']"),
        (("plugins",), [], "plan.plugins must be an object, not []"),
        (("notes",), "one", "plan.notes must be a list, not 'one'"),
        (("vae",), 5, "plan.vae must be an object, not 5"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_path(
    path: tuple[Any, ...], value: Any, message: str
) -> None:
    sent = json.loads(json.dumps(plain(PLAN)))
    part = sent
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(PluginError) as caught:
        read_as(Plan, sent, "plan")
    assert str(caught.value).startswith(message)


def test_what_is_left_out_is_asked_for() -> None:
    sent = json.loads(json.dumps(plain(MODEL)))
    del sent["kind"]
    with pytest.raises(PluginError, match=r"^model needs \['kind'\], not "):
        read_as(WeightFile, sent, "model")


@pytest.mark.parametrize(
    "event",
    [
        StepProgress(job="a", number=3, at=1.5, step=2, total=4, intermediates=("x.png",)),
        Finished(job="a", images=("b",), acceleration=Acceleration(requested="x")),
        Failed(job="a", title="T", message="m"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_are_the_same_on_the_other_side(event: Event) -> None:
    assert event_from(unpacked(packed(event_json(event)))) == event


def test_errors_of_ours_keep_their_class_words_and_faults() -> None:
    there = error_from(error_json(NotFoundError("no such thing")))
    assert (type(there), str(there)) == (NotFoundError, "no such thing")
    faults = [Fault(field="a.b", message="is wrong"), Fault(field="c", message="too")]
    again = error_from(unpacked(packed(error_json(InvalidRequestError(faults)))))
    assert isinstance(again, InvalidRequestError)
    assert again.faults == tuple(faults)


def test_an_error_of_the_plugins_own_goes_as_the_one_that_it_is_made_of() -> None:
    class OwnError(NotFoundError):
        pass

    assert type(error_from(error_json(OwnError("x")))) is NotFoundError


@pytest.mark.parametrize("kind", ["SystemExit", "Fault", None, "did_you_mean", "__builtins__"])
def test_nothing_but_our_errors_is_made(kind: Any) -> None:
    with pytest.raises(PluginError, match=r"which is no error of stretto\.host$"):
        error_from({"kind": kind, "message": "x"})


@pytest.mark.parametrize("sent", [b"", b"{", b"\xff", b"[1]", b"5", b"[" * 100_000])
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    with pytest.raises(PluginError, match=r"^sent "):
        unpacked(sent)
