from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host.contracts.models import WeightFile, WeightKind
from stretto.host.contracts.plan import Bounds, Node, Plan
from stretto.host.contracts.refining import Refining
from stretto.host.contracts.request import InvocationRequest
from stretto.host.contracts.steps import CheckSafety, Diffuse, Refine, Save
from stretto.host.errors import ConfigurationError
from stretto.host.planning.order import order
from stretto.host.planning.safety import (
    find_checker,
    guarded,
    missing_checker,
    require_checker,
    resolve_checker,
    unchecked,
)
from stretto.host.settings import Folders, Settings


def plan_of(*, refined: bool = False, start: float | None = None, **changes: Any) -> Plan:
    refining = Refining(
        strength=0.3,
        guidance_scale=5.0,
        aesthetic_score=6.0,
        negative_aesthetic_score=2.5,
        start=start,
    )
    node = Node(
        bounds=Bounds(left=0, top=0, right=64, bottom=64),
        width=64,
        height=64,
        prompt="x",
        negative_prompt="",
        num_inference_steps=10,
        guidance_scale=7.0,
        strength=0.8,
        refining=refining if refined else None,
    )
    return Plan(
        model=WeightFile(path="/models/m", kind=WeightKind.DIFFUSERS),
        size=64,
        width=64,
        height=64,
        seed=0,
        samples=2,
        prompt="x",
        negative_prompt="",
        nodes=(node,),
        scheduler=None,
        multi_scheduler=None,
        chunking_size=0,
        chunking_blur=0,
        refiner_size=64 if refined else None,
        **changes,
    )


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def checker(folders: Folders) -> Path:
    folder = folders.model_folder("safety-checker")
    folder.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def asked(folders: Folders, *, setting: bool, **request: Any) -> Any:
    faults: list[tuple[str, str]] = []
    notes: list[str] = []
    host: Any = SimpleNamespace(settings=Settings(safe=setting), folders=folders)
    found = resolve_checker(
        InvocationRequest(prompt="x", **request), host, lambda *fault: faults.append(fault), notes.append
    )
    return SimpleNamespace(found=found, faults=faults, notes=notes)


def test_weights_are_known_by_their_content(folders, checker):
    found = find_checker(folders)
    assert (found.kind, found.name) == (WeightKind.SAFETY, "model.safetensors")
    (checker / "model.safetensors").write_text("{ }")
    assert find_checker(folders).fingerprint != found.fingerprint
    assert missing_checker(folders) is None


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_each_part_is_needed(folders, checker, name):
    (checker / name).unlink()
    reason = missing_checker(folders)
    assert str(checker) in reason
    assert "hf download CompVis/stable-diffusion-safety-checker" in reason


def test_a_pickle_will_do(folders, checker):
    (checker / "model.safetensors").rename(checker / "pytorch_model.bin")
    assert find_checker(folders).name == "pytorch_model.bin"


@pytest.mark.parametrize(
    ("setting", "said", "checks"),
    [
        (True, None, True),
        (False, None, False),
        (False, True, True),
        (True, False, False),
    ],
)
def test_the_call_wins_over_the_setting(folders, checker, setting, said, checks):
    answer = asked(folders, setting=setting, safe=said)
    assert (answer.found is not None) is checks
    assert not answer.faults
    assert any("switched the safety checker off" in note for note in answer.notes) is (setting and not checks)


def test_without_weights_safe_is_a_fault_and_never_off(folders):
    for answer in (asked(folders, setting=True), asked(folders, setting=False, safe=True)):
        ((field, message),) = answer.faults
        assert field == "safe"
        assert str(folders.model_folder("safety-checker")) in message
    assert not asked(folders, setting=False).faults


def test_a_host_does_not_start_unchecked(folders):
    with pytest.raises(ConfigurationError, match=r"setting safe is on.*hf download.*stretto settings"):
        require_checker(folders, safe=True)
    require_checker(folders, safe=False)


@pytest.mark.parametrize(("value", "faulty"), [(True, True), ("true", True), (False, False), (None, False)])
def test_a_change_of_the_setting_is_refused_without_weights(folders, value, faulty):
    assert bool([*unchecked({"safe": value}, folders)]) is faulty


def test_a_change_of_the_setting_passes_with_weights(folders, checker):
    assert not [*unchecked({"safe": True}, folders)]


def test_a_recorded_plan_is_checked_where_the_setting_says_so(folders, checker):
    plan = plan_of()
    unsafe: Any = SimpleNamespace(settings=Settings(safe=False), folders=folders)
    safe: Any = SimpleNamespace(settings=Settings(safe=True), folders=folders)
    assert guarded(plan, unsafe) is plan
    checked = guarded(plan, safe)
    assert checked.checker == find_checker(folders)
    assert not checked.intermediates
    assert guarded(checked, safe) is checked
    (checker / "config.json").unlink()
    with pytest.raises(ConfigurationError):
        guarded(plan, safe)


def test_pictures_are_checked_before_they_are_refined_and_after(folders, checker):
    plan = plan_of(checker=find_checker(folders), refined=True)
    kinds = [type(step) for step in order(plan)]
    assert kinds == [Diffuse, CheckSafety, Refine, CheckSafety, Save]


def test_latents_that_are_handed_over_are_no_pictures_yet(folders, checker):
    plan = plan_of(checker=find_checker(folders), refined=True, start=0.8)
    assert [type(step) for step in order(plan)] == [Diffuse, Refine, CheckSafety, Save]


def test_nothing_is_checked_unasked():
    assert [type(step) for step in order(plan_of())] == [Diffuse, Save]
