"""The plugin API is what its version promised, and every class of change of it is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from stretto.host import STRETTO_API
from stretto.host.promise import USUAL_RANGE

CHANGELOG = """
## [0.3.0] - unreleased
### Plugin API 2.0
`SchedulerSpec` takes `build_it`: rename it. `Bench` has `wait`.
## [0.2.0] - 2030-01-01
### Plugin API 1.1
`Bench` has `wait`.
### Changed
## [0.1.0] - 2029-01-01
### Plugin API 1.0
The first.
"""
Api = dict[str, Any]
Mutation = Callable[[Api], None]


def field(api: Api, shape: str, name: str) -> Any:
    return next(one for one in api["names"][shape]["fields"] if one["name"] == name)


def argument(api: Api, shape: str, method: str, name: str) -> Any:
    arguments = api["names"][shape]["methods"][method]["arguments"]
    return next(one for one in arguments if one["name"] == name)


def new(name: str, *, optional: bool, keyword_only: bool = True) -> Api:
    return {"name": name, "type": "int", "optional": optional, "keyword_only": keyword_only}


def test_the_api_is_what_its_version_promised(keeper: ModuleType) -> None:
    changelog = keeper.CHANGELOG.read_text(encoding="utf-8")
    said = keeper.faults(keeper.kept(), keeper.described(), changelog)
    assert said == [], "\n".join(said)


BREAKING: list[tuple[str, str, Mutation]] = [
    ("hook gone", "observe: this hook is gone", lambda api: api["hooks"].pop("observe")),
    (
        "hook's argument gone",
        "observe: argument 'event' is gone",
        lambda api: api["hooks"]["observe"]["arguments"].pop("event"),
    ),
    (
        "hook's argument of another type",
        "observe: argument 'event' was 'Event' and is 'str'",
        lambda api: api["hooks"]["observe"]["arguments"].update(event="str"),
    ),
    (
        "hook returns something else",
        "run_step: returns: was 'Frame | None' and is 'Frame'",
        lambda api: api["hooks"]["run_step"].update(returns="Frame"),
    ),
    (
        "first result",
        "build_plan: first result: was True and is False",
        lambda api: api["hooks"]["build_plan"].update(first_result=False),
    ),
    ("kind gone", "kinds: kind 'vaes' is gone", lambda api: api["kinds"].pop("vaes")),
    (
        "entry points",
        "plugin module: what the host reads 'entry_points' was 'stretto' and is 'other'",
        lambda api: api["module"].update(entry_points="other"),
    ),
    ("public name gone", "VaeSpec: this name is gone", lambda api: api["names"].pop("VaeSpec")),
    (
        "another kind of name",
        "Spec: was of the kind dataclass and is of the kind constant",
        lambda api: api["names"].update(Spec={"is": "constant", "type": "int"}),
    ),
    (
        "field gone",
        "SchedulerSpec: the field 'seed_key' is gone",
        lambda api: api["names"]["SchedulerSpec"]["fields"].remove(field(api, "SchedulerSpec", "seed_key")),
    ),
    (
        "field renamed",
        "SchedulerSpec: the field 'build' is gone",
        lambda api: field(api, "SchedulerSpec", "build").update(name="build_it"),
    ),
    (
        "field of another type",
        "VaeSpec: the field 'upcast' was bool and is int",
        lambda api: field(api, "VaeSpec", "upcast").update(type="int"),
    ),
    (
        "field without its default",
        "VaeSpec: the field 'source' lost its default",
        lambda api: field(api, "VaeSpec", "source").update(optional=False),
    ),
    (
        "new required field",
        "VaeSpec: the field 'depth' is new, and nobody gives it: it needs a default",
        lambda api: api["names"]["VaeSpec"]["fields"].append(new("depth", optional=False)),
    ),
    (
        "field by name alone",
        "Folders: the field 'root' is given by name alone now",
        lambda api: field(api, "Folders", "root").update(keyword_only=True),
    ),
    (
        "fields in another order",
        "Folders: its fields by place were",
        lambda api: api["names"]["Folders"]["fields"].reverse(),
    ),
    (
        "new field before others",
        "Folders: its fields by place were",
        lambda api: api["names"]["Folders"]["fields"].insert(
            0, new("first", optional=True, keyword_only=False)
        ),
    ),
    ("thawed", "Plan: frozen: was True and is False", lambda api: api["names"]["Plan"].update(frozen=False)),
    (
        "base gone",
        "Queued: the base Event is gone",
        lambda api: api["names"]["Queued"].update(bases=[]),
    ),
    (
        "method of what plugins make is new",
        "Upscaler: the method 'warm' is new, and plugins' objects lack it",
        lambda api: api["names"]["Upscaler"]["methods"].update(warm={"arguments": [], "returns": "None"}),
    ),
    (
        "method of what plugins make takes more",
        "Upscaler: the method 'upscale' is called otherwise",
        lambda api: api["names"]["Upscaler"]["methods"]["upscale"]["arguments"].append(
            new("tile", optional=True)
        ),
    ),
    (
        "attribute of what plugins make is new",
        "Scheduler: attribute 'sigmas' is new, and plugins' objects lack it",
        lambda api: api["names"]["Scheduler"]["attributes"].update(sigmas="Any"),
    ),
    (
        "method of the host's gone",
        "Bench: the method 'note' is gone",
        lambda api: api["names"]["Bench"]["methods"].pop("note"),
    ),
    (
        "method of the host's takes another type",
        "Bench.note: the argument 'text' was str and is bytes",
        lambda api: argument(api, "Bench", "note", "text").update(type="bytes"),
    ),
    (
        "method of the host's needs more",
        "Bench.note: the argument 'level' is new, and nobody gives it",
        lambda api: api["names"]["Bench"]["methods"]["note"]["arguments"].append(
            new("level", optional=False)
        ),
    ),
    (
        "method of the host's gives something else",
        "HostView.resolve_model: returns: was 'WeightFile' and is 'str'",
        lambda api: api["names"]["HostView"]["methods"]["resolve_model"].update(returns="str"),
    ),
    (
        "attribute of the host's gone",
        "Bench: attribute 'device' is gone",
        lambda api: api["names"]["Bench"]["attributes"].pop("device"),
    ),
    (
        "enum's member gone",
        "Family: member 'SD2' is gone",
        lambda api: api["names"]["Family"]["members"].pop("SD2"),
    ),
    (
        "enum's value",
        "Family: member 'SD2' was 'sd2' and is 'two'",
        lambda api: api["names"]["Family"]["members"].update(SD2="two"),
    ),
    (
        "union's member gone",
        "Step: the member Save is gone",
        lambda api: api["names"]["Step"]["members"].remove("Save"),
    ),
    (
        "error's status",
        "NotFoundError: status: was 404 and is 400",
        lambda api: api["names"]["NotFoundError"].update(status=400),
    ),
    (
        "error's base gone",
        "WeightsError: the base EngineError is gone",
        lambda api: api["names"]["WeightsError"].update(bases=["StrettoError"]),
    ),
    (
        "function's argument renamed",
        "did_you_mean: the argument 'word' is gone",
        lambda api: api["names"]["did_you_mean"]["arguments"][0].update(name="text"),
    ),
    (
        "constant",
        "STRETTO_API: type: was 'str' and is 'tuple'",
        lambda api: api["names"]["STRETTO_API"].update(type="tuple"),
    ),
    (
        "what a public name names",
        "Settings: the field 'safe' is gone",
        lambda api: api["behind"]["Settings"]["fields"].pop(0),
    ),
]
ADDITIVE: list[tuple[str, str, Mutation]] = [
    (
        "hook",
        "register_voices: a new hook",
        lambda api: api["hooks"].update(register_voices=api["hooks"]["register_vaes"]),
    ),
    (
        "hook's argument",
        "observe: argument 'host' is new",
        lambda api: api["hooks"]["observe"]["arguments"].update(host="HostView"),
    ),
    (
        "kind",
        "kinds: kind 'voices' is new",
        lambda api: api["kinds"].update(voices="register_voices -> Spec"),
    ),
    ("name", "VoiceSpec: a new name", lambda api: api["names"].update(VoiceSpec=api["names"]["VaeSpec"])),
    (
        "optional field",
        "VaeSpec: the field 'depth' is new",
        lambda api: api["names"]["VaeSpec"]["fields"].insert(0, new("depth", optional=True)),
    ),
    (
        "default of a field",
        "VaeSpec: the field 'files' has a default now",
        lambda api: field(api, "VaeSpec", "files").update(optional=True),
    ),
    (
        "method of the host's",
        "HostView: the method 'wait' is new",
        lambda api: api["names"]["HostView"]["methods"].update(wait={"arguments": [], "returns": "None"}),
    ),
    (
        "attribute of the host's",
        "Bench: attribute 'seed' is new",
        lambda api: api["names"]["Bench"]["attributes"].update(seed="int"),
    ),
    (
        "optional argument of the host's method",
        "Bench.note: the argument 'level' is new",
        lambda api: api["names"]["Bench"]["methods"]["note"]["arguments"].append(new("level", optional=True)),
    ),
    (
        "protocol that extends what plugins make",
        "WarmUpscaler: a new name",
        lambda api: api["names"].update(WarmUpscaler=api["names"]["TilingUpscaler"]),
    ),
    (
        "member of an enum",
        "Role: member 'VOICE' is new",
        lambda api: api["names"]["Role"]["members"].update(VOICE="voice"),
    ),
    (
        "member of a union",
        "Step: the member Speak is new",
        lambda api: api["names"]["Step"]["members"].append("Speak"),
    ),
    ("base", "Plan: the base Value is new", lambda api: api["names"]["Plan"]["bases"].append("Value")),
]


@pytest.mark.parametrize(
    ("breaking", "words", "change"),
    [
        pytest.param(breaking, words, change, id=f"{'breaking' if breaking else 'additive'}-{name}")
        for breaking, table in ((True, BREAKING), (False, ADDITIVE))
        for name, words, change in table
    ],
)
def test_each_class_of_change_is_found_and_needs_its_step(
    keeper: ModuleType, breaking: bool, words: str, change: Mutation
) -> None:
    old = keeper.kept()[STRETTO_API]
    after = deepcopy(old)
    change(after)
    found = keeper.changes(old, after)
    assert any(str(one).endswith(words) or words in str(one) for one in found), [str(one) for one in found]
    assert any(one.breaking for one in found) is breaking
    assert not keeper.enough("1.4", "1.4", found)
    assert keeper.enough("1.4", "1.5", found) is not breaking
    assert keeper.enough("1.4", "2.0", found)


def test_the_order_of_hooks_arguments_and_of_named_fields_is_nothing(keeper: ModuleType) -> None:
    old = keeper.kept()[STRETTO_API]
    after = deepcopy(old)
    after["hooks"]["run_step"]["arguments"] = dict(reversed(old["hooks"]["run_step"]["arguments"].items()))
    after["names"]["VaeSpec"]["fields"].reverse()
    assert keeper.changes(old, after) == []


def test_a_change_without_a_step_is_named_with_what_to_do(keeper: ModuleType) -> None:
    old = {**keeper.kept()[STRETTO_API], "version": "1.0"}
    after = deepcopy(old)
    field(after, "SchedulerSpec", "build").update(name="build_it")
    (said,) = keeper.faults({"1.0": old}, after, CHANGELOG)
    assert said.splitlines() == [
        "The plugin API is not what version 1.0 promised:",
        "  breaking  SchedulerSpec: the field 'build' is gone",
        "  breaking  SchedulerSpec: the field 'build_it' is new, and nobody gives it: it needs a default",
        'Take the change back, or set STRETTO_API = "2.0" in host/promise.py, tell authors what to do under',
        "`### Plugin API 2.0` in CHANGELOG.md, naming all of these, and run `make plugin-api`.",
    ]
    unreleased = CHANGELOG.replace("2029-01-01", "unreleased")
    assert "so `make plugin-api ANEW=1` takes" in keeper.faults({"1.0": old}, after, unreleased)[0]


def test_steps_between_snapshots_are_large_enough_and_told(keeper: ModuleType) -> None:
    first = {**keeper.kept()[STRETTO_API], "version": "1.0"}
    wider = deepcopy({**first, "version": "1.1"})
    wider["names"]["Bench"]["methods"]["wait"] = {"arguments": [], "returns": "None"}
    other = deepcopy({**wider, "version": "2.0"})
    field(other, "SchedulerSpec", "build").update(name="build_it")
    three = {"1.0": first, "1.1": wider, "2.0": other}
    assert keeper.faults(three, other, CHANGELOG) == []
    assert keeper.faults(three, other, CHANGELOG.replace("`Bench`", "It")) == [
        "CHANGELOG.md, Plugin API 1.1, says nothing about Bench"
    ]
    (small,) = keeper.faults(
        {"1.0": first, "1.1": other},
        {**other, "version": "1.1"},
        CHANGELOG.replace("1.1\n", "1.1\n`SchedulerSpec`"),
    )
    assert small.startswith(
        "the step from 1.0 to 1.1 is too small for these; call it 2.0:\n  breaking  SchedulerSpec"
    )
    assert keeper.faults({"1.0": first}, {**first, "version": "1.1"}, CHANGELOG) == [
        "there is no snapshot of STRETTO_API 1.1; run `make plugin-api`"
    ]
    assert keeper.faults({"1.0": first}, first, "") == [
        "CHANGELOG.md has no section `### Plugin API 1.0` that tells authors what to do"
    ]


def test_a_released_snapshot_is_not_written_again(
    keeper: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, changelog = tmp_path / "snapshots", tmp_path / "CHANGELOG.md"
    heading = f"### Plugin API {STRETTO_API}\nThe first.\n"
    changelog.write_text(f"## [0.1.0] - unreleased\n{heading}", encoding="utf-8")
    assert keeper.main([], folder, changelog) == 0
    file = folder / f"{STRETTO_API}.json"
    assert json.loads(file.read_text(encoding="utf-8")) == keeper.described()

    older = keeper.described()
    older["hooks"]["register_voices"] = {"arguments": {}, "returns": "None", "first_result": False}
    file.write_text(keeper.written(older), encoding="utf-8")
    assert keeper.main([], folder, changelog) == 1
    assert "register_voices: this hook is gone" in capsys.readouterr().err
    assert keeper.main(["--anew"], folder, changelog) == 0

    file.write_text(keeper.written(older), encoding="utf-8")
    changelog.write_text(f"## [0.1.0] - 2029-01-01\n{heading}", encoding="utf-8")
    assert keeper.main(["--anew"], folder, changelog) == 1
    assert "set STRETTO_API" in capsys.readouterr().err
    assert json.loads(file.read_text(encoding="utf-8")) == older


def test_every_protocol_is_made_by_one_side(keeper: ModuleType) -> None:
    protocols = {name: one for name, one in keeper.described()["names"].items() if one["is"] == "protocol"}
    assert {name for name, one in protocols.items() if one["made_by"] == "plugins"} >= {
        "BackgroundRemover", "CompiledNetwork", "Compiler", "Loader", "Patcher", "Preprocessor", "Scheduler", "TilingUpscaler",
        "Upscaler",
    }  # fmt: skip
    assert {name for name, one in protocols.items() if one["made_by"] == "host"} == {
        "Bench", "Call", "Console", "HostView", "Network",
    }  # fmt: skip


def test_the_usual_range_fits_this_version_and_no_other_first_number() -> None:
    first = int(STRETTO_API.split(".")[0])
    usual = SpecifierSet(USUAL_RANGE)
    assert STRETTO_API in usual
    assert f"{first}.99" in usual
    assert f"{first + 1}.0" not in usual
