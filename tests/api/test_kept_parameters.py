"""Parameters of plugins in stored models: checked when stored, shown back, put under what a request says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stretto.api.cli.main import run

from .client import QUICK, Still
from .test_plugin_parameters import FULL, GRAIN, WRONG

PATH = "/api/models"


@pytest.fixture
def plugins_file(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "grain.py").write_text(GRAIN)
    file = tmp_path / "plugins.toml"
    file.write_text('[host]\nautoload = false\npaths = ["grain.py"]\n')
    yield file
    sys.modules.pop("stretto_plugin_grain", None)


def keep(still: Still, plugins: object, **more: Any) -> Any:
    return still.client.post(PATH, {"name": "mine", "checkpoint": "starter", "plugins": plugins, **more})


def kept(still: Still) -> Any:
    (model,) = still.client.get(f"{PATH}/mine?include=config").data
    return {
        row["attributes"]["configuration_key"]: row["attributes"]["configuration_value"]
        for row in model["include"]["config"]
    }


def planned(still: Still, **body: Any) -> Any:
    return still.client.post("/api/plan", {**QUICK, "model": "mine", **body})


def resolved(still: Still, **body: Any) -> Any:
    return planned(still, **body).data["resolved"]


def test_what_is_kept_is_checked_as_an_invocations_is(still: Still) -> None:
    for values, faults in WRONG:
        refused = keep(still, {"grain": values})
        expected = [f"plugins.grain{f'.{key}' if key else ''}: {words}" for key, words in faults.items()]
        assert (refused.status, refused.details) == (400, expected), values
    refused = keep(still, {"grian": {}, "vaes": {"a": 1}}, size=3)
    assert (refused.status, refused.details[1:]) == (
        400,
        [
            "plugins.grian: is no plugin here; did you mean 'grain'?",
            "plugins.vaes: takes no parameters; leave it out",
        ],
    )
    assert refused.details[0].startswith("size: 3 is not a whole number")
    assert keep(still, 3).details == ["plugins: 3 is not an object with a key for each plugin"]
    assert still.client.get(PATH).data == []


def test_it_is_shown_changed_and_cleared(still: Still) -> None:
    assert (
        keep(still, {"grain": {"amount": "0.5", "kind": None, "place": {"x": 1}}}, guidance_scale=3).status
        == 200
    )
    grain = {"amount": 0.5, "place": {"x": 1, "y": None}}
    assert kept(still) == {"guidance_scale": 3.0, "plugins": {"grain": grain}}
    change = f"{PATH}/mine"
    assert still.client.call("PATCH", change, {"prompt": "bright"}).status == 200
    assert kept(still)["plugins"] == {"grain": grain}
    refused = still.client.call("PATCH", change, {"plugins": {"grain": {"amount": 2}}})
    assert refused.details == ["plugins.grain.amount: 2 is not a number from 0.0 to 1.0"]
    assert kept(still)["plugins"] == {"grain": grain}
    assert still.client.call("PATCH", change, {"plugins": {"grain": {"limit": "x"}}}).status == 200
    assert kept(still)["plugins"] == {"grain": {"limit": "x"}}
    for nothing in (None, {}, {"grain": None}, {"grain": {}}):
        assert still.client.call("PATCH", change, {"plugins": {"grain": {"on": False}}}).status == 200
        assert still.client.call("PATCH", change, {"plugins": nothing}).status == 200
        assert kept(still) == {"guidance_scale": 3.0}, nothing


def test_what_a_request_says_wins_parameter_by_parameter(still: Still) -> None:
    keep(still, {"grain": {"amount": 0.5, "limit": 7}})
    plan = resolved(still)
    assert plan["plugins"] == {"grain": {**FULL, "amount": 0.5, "limit": 7}}
    assert (
        "the stored model 'mine' gave model, plugins.grain.amount, plugins.grain.limit, size" in plan["notes"]
    )
    assert plan["notes"][-1] == "grain of 0.5, film"  # `build_plan` of the plugin has them
    plan = resolved(still, plugins={"grain": {"amount": 0.75, "limit": None, "on": False}})
    assert plan["plugins"] == {"grain": {**FULL, "amount": 0.75, "limit": 7, "on": False}}
    assert "the stored model 'mine' gave model, plugins.grain.limit, size" in plan["notes"]
    assert resolved(still, plugins={"grain": None})["plugins"] == {"grain": {**FULL, "limit": 7}}
    other = still.client.post("/api/plan", {**QUICK, "model": "starter"}).data["resolved"]
    assert other["plugins"] == {}
    refused = planned(still, plugins={"grain": {"kind": "fine", "amount": 0.75}})
    assert refused.details == ["plugins.grain: fine grain goes to 0.5; the stored model 'mine' gave limit"]
    assert planned(still, plugins={"grain": 3}).details == [
        "plugins.grain: 3 is not an object with its parameters"
    ]


def test_a_plugin_that_is_off_later_is_named_with_the_model(still: Still, plugins_file: Path) -> None:
    keep(still, {"grain": {"amount": 0.5}})
    assert still.client.call("PATCH", "/api/plugins/grain", {"enabled": False}).status == 200
    body = {**QUICK, "model": "mine", "seed": -1}
    refused = still.client.call("POST", "/api/invoke", body, {"Accept": "application/problem+json"})
    assert [error["pointer"] for error in refused.json["errors"]] == ["#/seed", "#/model"]
    off = f"is off: disabled by [host] disable in {plugins_file}"
    said = f"the stored model 'mine' keeps parameters of the plugin 'grain', which {off}"
    assert planned(still).details == [f"model: {said}; change that, or take them out of the model"]
    asked = planned(still, plugins={"grain": {"on": True}})
    assert asked.details == [f"plugins.grain: {off}; the stored model 'mine' gave amount"]
    assert kept(still) == {"plugins": {"grain": {"amount": 0.5}}}
    assert still.client.call("PATCH", f"{PATH}/mine", {"prompt": "bright", "plugins": None}).status == 200
    assert planned(still).status == 200


def test_a_plugin_that_takes_less_later_is_told_as_the_models(still: Still, plugins_file: Path) -> None:
    keep(still, {"grain": {"amount": 0.5, "limit": 7}})
    grain = plugins_file.with_name("grain.py")
    grain.write_text(GRAIN.replace("Le(1.0)", "Le(0.4)").replace("    limit: int | str = 3\n", ""))
    assert still.client.call("PATCH", "/api/plugins/grain", {"enabled": False}).status == 200
    assert still.client.call("PATCH", "/api/plugins/grain", {"enabled": True}).status == 200
    end = "; change the model, or send another value"
    amount = f"plugins.grain.amount, and that 0.5 is not a number from 0.0 to 0.4{end}"
    limit = (
        "plugins.grain.limit, and that is not known here; known: amount, kind, on, pair, place, start, words"
    )
    assert planned(still).details == [
        f"model: the stored model 'mine' keeps {amount}",
        f"model: the stored model 'mine' keeps {limit}{end}",
    ]


def test_the_document_says_what_is_kept(still: Still) -> None:
    form = still.client.get("/api/openapi.json").json["components"]["schemas"]["ModelForm"]
    check = Draft202012Validator(form["properties"]["plugins"])
    assert check.is_valid({"grain": {"amount": 1}})
    assert check.is_valid(None)
    assert not check.is_valid({"grain": {"amount": 2}})
    assert not check.is_valid({"grian": {}})


def test_the_commands_keep_and_show_them(
    tmp_path: Path, plugins_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--data-dir", str(tmp_path / "data"), "--plugins", str(plugins_file)]
    sets = ["--set", "plugins.grain.amount=0.5", "--set", 'plugins.grain.limit="a b"', "--set", "size=64"]
    assert run(["models", "add", "mine", "--checkpoint", "starter", *sets, *here]) == 0
    assert run(["models", "show", "mine", *here]) == 0
    assert 'plugins    {"grain": {"amount": 0.5, "limit": "a b"}}' in capsys.readouterr().out
    assert run(["models", "show", "mine", "--json", *here]) == 0
    assert json.loads(capsys.readouterr().out)["plugins"] == {"grain": {"amount": 0.5, "limit": "a b"}}
    more = ["--set", "model=mine", "--set", "plugins.grain.amount=1", "--dry-run"]
    assert run(["invoke", "a circle", *more, *here]) == 0
    plan = json.loads(capsys.readouterr().out)["resolved"]
    assert plan["plugins"] == {"grain": {**FULL, "amount": 1.0, "limit": "a b"}}
    wrong = ["--set", "plugins.grain.amuont=1"]
    assert run(["models", "add", "other", "--checkpoint", "starter", *wrong, *here]) == 2
    assert "plugins.grain.amuont: is not known here; did you mean 'amount'?" in capsys.readouterr().err
