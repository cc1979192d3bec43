"""Parameters of plugins: refused in the words of all others, recorded in full, seen by the hooks in the worker."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from PIL import Image
from stretto.api.cli.main import run
from stretto.api.cli.replay import plan_of_picture
from stretto.api.openapi import openapi
from stretto.api.plan_json import plan_from_json
from stretto.api.plugin_parameters import merged
from stretto.api.routes import ROUTES

from .client import QUICK, Process, Still
from .conformance import NAMES

GRAIN = '''
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal
from annotated_types import Ge, Gt, Le, MaxLen
from stretto.host import Save, hookimpl


@dataclass(frozen=True)
class Place:
    x: int = 0
    y: int | None = None


@dataclass(frozen=True)
class Parameters:
    """How much grain, and of which kind."""

    amount: Annotated[float, Ge(0.0), Le(1.0)] = field(default=0.25, metadata={"description": "How much."})
    kind: Literal["film", "fine"] = "film"
    on: bool = True
    words: tuple[Annotated[str, MaxLen(5)], ...] = ()
    pair: tuple[int, str] = (1, "a")
    limit: int | str = 3
    place: Place = Place()
    start: Annotated[int, Gt(0)] | None = None

    def __post_init__(self):
        if self.kind == "fine" and self.amount > 0.5:
            raise ValueError("fine grain goes to 0.5")


@hookimpl(wrapper=True)
def build_plan(request, host):
    plan = yield
    asked = host.plugin_parameters("grain", Parameters, request)
    return plan.with_note(f"grain of {asked.amount}, {asked.kind}")


@hookimpl(wrapper=True)
def run_step(step, bench):
    done = yield
    if done is None or not bench.ahead or not isinstance(bench.ahead[0], Save):
        return done
    shade = round(255 * bench.host.plugin_parameters("grain", Parameters, bench.plan).amount)
    return replace(done, images=tuple(image.point(lambda _: shade) for image in done.images))
'''
FULL = {
    "amount": 0.5, "kind": "film", "on": True, "words": [], "pair": [1, "a"], "limit": 3, "place": {"x": 0, "y": None},
    "start": None,
}  # fmt: skip


@pytest.fixture
def plugins_file(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "grain.py").write_text(GRAIN)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    file = tmp_path / "plugins.toml"
    file.write_text('[host]\nautoload = false\npaths = ["grain.py", "bad.py"]\ndisable = ["faces"]\n')
    yield file
    sys.modules.pop("stretto_plugin_grain", None)


WRONG: list[tuple[Any, dict[str, str]]] = [
    ({"amount": 2}, {"amount": "2 is not a number from 0.0 to 1.0"}),
    ({"amount": "much"}, {"amount": '"much" is not a number from 0.0 to 1.0'}),
    ({"amount": True}, {"amount": "true is not a number from 0.0 to 1.0"}),
    ({"amount": "nan"}, {"amount": '"nan" is not a number from 0.0 to 1.0'}),
    ({"kind": "fist"}, {"kind": '"fist" is not one of film, fine; known: film, fine'}),
    ({"on": "maybe"}, {"on": '"maybe" is not true or false'}),
    ({"words": ["ok", "abcdef"]}, {"words[1]": '"abcdef" is not text of at most 5 characters'}),
    ({"words": "ok"}, {"words": '"ok" is not a list, each text of at most 5 characters'}),
    ({"words": [""] * 65}, {"words": "a list of 65 is too long; at most 64 serve"}),
    ({"pair": [1]}, {"pair[1]": "is missing in a list of 1; name it"}),
    ({"pair": [1, "a", 2]}, {"pair": "a list of 3 is not a list of 2: a whole number, text"}),
    ({"pair": ["x", 2]}, {"pair[0]": '"x" is not a whole number', "pair[1]": "2 is not text"}),
    ({"limit": 1.5}, {"limit": "1.5 is not a whole number or text"}),
    ({"limit": False}, {"limit": "false is not a whole number or text"}),
    ({"place": {"x": "y"}}, {"place.x": '"y" is not a whole number'}),
    ({"place": {"z": 1}}, {"place.z": "is not known here; known: x, y"}),
    ({"place": 3}, {"place": "3 is not an object with x, y"}),
    ({"start": 0}, {"start": "0 is not a whole number above 0"}),
    ({"amuont": 1}, {"amuont": "is not known here; did you mean 'amount'?"}),
    ({"kind": "fine", "amount": 0.75}, {"": "fine grain goes to 0.5"}),
    ({"amount": -1, "on": 7, "x": 1}, {
        "amount": "-1 is not a number from 0.0 to 1.0",
        "on": "7 is not true or false",
        "x": "is not known here; known: amount, kind, limit, on, pair, place, start, words",
    }),
    (3, {"": "3 is not an object with its parameters"}),
    ([1], {"": "a list of 1 is not an object with its parameters"}),
]  # fmt: skip


def planned(still: Still, plugins: object, **more: Any) -> Any:
    return still.client.call("POST", "/api/plan", {**QUICK, **more, "plugins": plugins})


def test_every_wrong_value_is_told_with_its_place(still: Still) -> None:
    for values, faults in WRONG:
        refused = planned(still, {"grain": values})
        expected = [f"plugins.grain{f'.{key}' if key else ''}: {words}" for key, words in faults.items()]
        assert (refused.status, refused.details) == (400, expected), values


def test_which_plugins_take_parameters(still: Still) -> None:
    asked = {"grian": {}, "bad": {"a": 1}, "faces": {}, "vaes": {}}
    refused = planned(still, asked)
    assert (refused.status, refused.details[:2], refused.details[3:]) == (
        400,
        [
            "plugins.grian: is no plugin here; did you mean 'grain'?",
            "plugins.bad: is broken: ZeroDivisionError: division by zero",
        ],
        ["plugins.vaes: takes no parameters; leave it out"],
    )
    assert refused.details[2].startswith("plugins.faces: is off: ")
    assert planned(still, 3).details == ["plugins: 3 is not an object with a key for each plugin"]


def test_faults_of_a_body_and_of_plugins_come_together_with_pointers(still: Still) -> None:
    body = {**QUICK, "seed": -1, "scheduler": "nothing", "plugins": {"grain": {"amount": 2}}}
    problem = still.client.call("POST", "/api/invoke", body, {"Accept": "application/problem+json"})
    assert problem.status == 400
    pointers = [error["pointer"] for error in problem.json["errors"]]
    assert pointers == ["#/seed", "#/scheduler", "#/plugins/grain/amount"]
    unknown = planned(still, {"grain": {"amount": 2}}, model="nowhere")
    assert [words.partition(":")[0] for words in unknown.details] == ["model", "plugins.grain.amount"]
    assert still.client.get("/api/invocation").data == []


def test_null_is_the_default_and_plans_say_all(still: Still) -> None:
    asked = {"grain": {"amount": "0.5", "kind": None, "place": {"x": None}}}
    plan = planned(still, asked).data
    assert plan["resolved"]["plugins"] == {"grain": FULL}
    assert plan["resolved"]["notes"][-1] == "grain of 0.5, film"
    read = plan_from_json(plan)
    assert json.loads(json.dumps(read.to_json())) == plan
    assert planned(still, None).data["resolved"]["plugins"] == {}
    assert planned(still, {"grain": None}).data["resolved"]["plugins"] == {}
    assert planned(still, {"grain": {}}).data["resolved"]["plugins"] == {"grain": {**FULL, "amount": 0.25}}
    assert read != plan_from_json(planned(still, {"grain": {}}).data)


def test_the_document_and_the_rows_say_what_is_taken(still: Still) -> None:
    document = still.client.get("/api/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    schema = document["components"]["schemas"]["InvocationRequest"]["properties"]["plugins"]
    grain = schema["anyOf"][0]["properties"]["grain"]["anyOf"][0]
    assert grain["description"] == "How much grain, and of which kind."
    assert grain["properties"]["amount"] == {
        "anyOf": [{"type": "number", "minimum": 0.0, "maximum": 1.0}, {"type": "null"}],
        "default": 0.25,
        "description": "How much.",
    }
    check = Draft202012Validator(schema)
    assert check.is_valid({"grain": {"amount": 1, "place": {"x": None}, "pair": [1, "b"]}})
    assert check.is_valid(None)
    for wrong in (
        {"grian": {}},
        {"grain": {"amuont": 1}},
        {"grain": {"place": {"z": 1}}},
        {"grain": {"amount": 2}},
    ):
        assert not check.is_valid(wrong), wrong
    row = next(one for one in still.client.get("/api/plugins").data if one["name"] == "grain")
    assert row["parameters"]["properties"]["amount"]["description"] == "How much."
    assert (row["settings"], row["hooks"]) == (None, ["build_plan", "run_step"])
    none = openapi(ROUTES, "1", NAMES)["components"]["schemas"]["InvocationRequest"]["properties"]["plugins"]
    assert none["anyOf"][0] == {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("assignments", "body"),
    [
        ([("plugins.a.b", 1), ("plugins.a.c", 2), ("seed", 3)], {"plugins": {"a": {"b": 1, "c": 2}}, "seed": 3}),
        ([("plugins", {"a": {"b": 1}}), ("plugins.a.c.d", 2)], {"plugins": {"a": {"b": 1, "c": {"d": 2}}}}),
        ([("plugins.a", {"b": 1}), ("plugins.a.b", 2)], {"plugins": {"a": {"b": 2}}}),
        ([("plugins.a", 3), ("plugins.a.b", 2)], {"plugins": {"a": {"b": 2}}}),
    ],
)  # fmt: skip
def test_assignments_are_put_where_a_body_has_them(assignments: Any, body: dict[str, Any]) -> None:
    assert merged(tuple(assignments)) == body


def test_a_step_in_the_worker_sees_them_and_a_replay_has_them(
    tmp_path: Path, plugins_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "served").mkdir()
    server = Process(tmp_path / "served", options=("--plugins", str(plugins_file)))
    server.start()
    try:
        body = {**QUICK, "num_inference_steps": 4, "plugins": {"grain": {"amount": 0.5}}}
        uuid = server.client.post("/api/invoke", body).data["uuid"]
        name = Path(server.client.wait(uuid, "completed")["images"][0]).name
        history = server.client.get(f"/api/invocation-history?filter=id:{uuid}").data
    finally:
        server.stop()
    assert history[0]["attributes"]["plan"]["resolved"]["plugins"] == {"grain": FULL}
    picture = server.data / "images" / f"{name.removesuffix('.png')}.png"
    drawn = Image.open(picture).convert("RGB")
    assert drawn.getextrema() == ((128, 128),) * 3
    assert plan_of_picture(picture).plugins == {"grain": FULL}
    here = ["--data-dir", str(server.data), "--plugins", str(plugins_file), "--json"]
    assert run(["invoke", "--replay", str(picture), *here]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["plan"]["resolved"]["plugins"] == {"grain": FULL}
    assert Image.open(said["images"][0]).convert("RGB").tobytes() == drawn.tobytes()
    plugins_file.write_text("[host]\nautoload = false\n")
    assert run(["invoke", "--replay", str(picture), *here]) == 2
    assert "plugins.grain: is no plugin here; known: backgrounds, controls" in capfd.readouterr().err


FLAT = """
from dataclasses import dataclass
from PIL import Image
from stretto.host import BackgroundRemoverSpec, UpscalerSpec, hookimpl


@dataclass(frozen=True)
class Parameters:
    shade: int = 1
    alone: bool = False


@dataclass(frozen=True)
class Flat:
    shade: int = 0

    def upscale(self, image, amount):
        large = image.resize((image.width * amount, image.height * amount))
        grey = Image.new("L", large.size, self.shade)
        return Image.merge(image.mode, [grey] * 3 + list(large.split()[3:]))

    def remove(self, image):
        image.putalpha(self.shade)
        return image


def adjusted(flat, host, plan):
    return Flat(host.plugin_parameters("flat", Parameters, plan).shade)


@hookimpl
def register_upscalers():
    return [UpscalerSpec(name="flat", build=lambda device: Flat(), adjusted=adjusted)]


@hookimpl
def register_background_removers():
    def alone(host, request):
        return host.plugin_parameters("flat", Parameters, request).alone

    return [
        BackgroundRemoverSpec(name="none", build=lambda device: Flat(), wanted=lambda host, request: False),
        BackgroundRemoverSpec(name="flat", build=lambda device: Flat(), wanted=alone, adjusted=adjusted),
    ]
"""


def test_what_a_plugin_offers_is_adjusted_to_a_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat.py").write_text(FLAT)
    (tmp_path / "plugins.toml").write_text('[host]\nautoload = false\npaths = ["flat.py"]\n')
    body = {"num_inference_steps": 1, "width": 64, "height": 64, "upscale": "flat", "outscale": 2}
    sets = [f"{name}={value}" for name, value in {**body, "remove_background": "true"}.items()]
    sets += ["plugins.flat.shade=77", "plugins.flat.alone=true"]
    here = ["--data-dir", str(tmp_path / "data"), "--plugins", str(tmp_path / "plugins.toml"), "--json"]
    assert run(["invoke", "a circle", *here, *(word for one in sets for word in ("--set", one))]) == 0
    said = json.loads(capsys.readouterr().out)
    with Image.open(said["images"][0]) as image:
        assert (image.size, image.getextrema()) == ((128, 128), ((77, 77),) * 4)
    assert said["plan"]["resolved"]["remover"]["method"] == "flat"
