"""The files of a plan, recorded with the SHA-256 of all that is in them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from stretto.host.catalog.digests import Digests
from stretto.host.contracts.models import ModelSpec, Patch, Role, WeightFile, WeightKind
from stretto.host.contracts.plan import Bounds, Node, Plan
from stretto.host.errors import WeightsError
from stretto.host.runtime.seal import Seal

NODE = Node(
    bounds=Bounds(left=0, top=0, right=64, bottom=64), width=64, height=64, prompt="x", negative_prompt="",
    num_inference_steps=1, guidance_scale=1.0, strength=1.0,
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[WeightFile]:
    made = []
    for name in ("model", "parts", "lora"):
        path = tmp_path / f"{name}.safetensors"
        path.write_text(name)
        made.append(WeightFile(path=str(path), name=path.name, kind=WeightKind.CHECKPOINT))
    return made


def plan_of(model: WeightFile, parts: WeightFile, lora: WeightFile) -> Plan:
    return Plan(
        model=replace(model, parts_from=parts), size=64, width=64, height=64, seed=1, samples=1, prompt="x",
        negative_prompt="", nodes=(NODE,), scheduler=None, multi_scheduler=None, chunking_size=0, chunking_blur=0,
        patches=(Patch(kind=WeightKind.LORA, file=lora),),
    )  # fmt: skip


def sealed(plan: Plan, tmp_path: Path, notes: list[str]) -> Plan:
    with ThreadPoolExecutor(1) as thread:
        seal = Seal(plan, Digests(tmp_path / "sha256.json").of, thread)
        assert seal.ready(within_s=10)
        return seal.on(plan, notes.append)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_file_of_a_plan_gets_its_digest(files: list[WeightFile], tmp_path: Path) -> None:
    notes: list[str] = []
    plan = sealed(plan_of(*files), tmp_path, notes)
    assert plan.model.sha256 == digest("model")
    assert plan.model.parts_from is not None
    assert plan.model.parts_from.sha256 == digest("parts")
    assert plan.patches[0].file.sha256 == digest("lora")
    assert notes == []
    assert plan.base() == plan_of(*files).base()  # the same load, in the pool
    assert hash(ModelSpec(role=Role.BASE, weights=plan.model)) == hash(plan_of(*files).base())


def test_another_file_than_the_recorded_one_is_refused(files: list[WeightFile], tmp_path: Path) -> None:
    plan = sealed(plan_of(*files), tmp_path, [])
    Path(files[2].path).write_text("another")
    with pytest.raises(WeightsError, match=r"lora\.safetensors is not the 'lora\.safetensors' .*SHA-256"):
        sealed(plan, tmp_path, [])


def test_a_file_that_went_away_is_noted(files: list[WeightFile], tmp_path: Path) -> None:
    Path(files[2].path).unlink()
    notes: list[str] = []
    plan = sealed(plan_of(*files), tmp_path, notes)
    assert plan.patches[0].file.sha256 == ""
    assert [files[2].path in note and "SHA-256" in note for note in notes] == [True]
