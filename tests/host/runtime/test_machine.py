from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host.contracts.models import ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.errors import WeightsError
from stretto.host.runtime import limits
from stretto.host.runtime.machine import Machine, offline, pool_budget_bytes
from stretto.host.settings import Folders, Settings


def _host(offers: Any = None, **settings: Any) -> Any:
    return SimpleNamespace(
        settings=Settings(**settings),
        folders=Folders(Path("/nowhere")),
        publish=lambda _event: None,
        offers=lambda _kind: offers or {},
    )


@pytest.fixture
def spec() -> Any:
    file = WeightFile(path="/models/odd.bin", kind=WeightKind.CHECKPOINT, name="odd")
    return ModelSpec(role=Role.BASE, weights=file)


def test_the_budget_is_a_setting_or_a_share_of_memory() -> None:
    with Machine.open(_host(pool_budget_bytes=123)) as machine:
        assert machine.pool.place.budget_bytes == 123
    with Machine.open(_host()) as machine:
        assert machine.pool.place.budget_bytes == pool_budget_bytes(machine.device)


def test_a_control_groups_limit_counts(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "_CGROUP_LIMIT", tmp_path / "memory.max")
    free = pool_budget_bytes("cpu")
    (tmp_path / "memory.max").write_text("max\n")
    assert pool_budget_bytes("cpu") == free
    (tmp_path / "memory.max").write_text("1000000\n")
    assert pool_budget_bytes("cpu") == 600_000


def test_precision_is_the_plans_then_the_settings_then_the_devices() -> None:
    with Machine.open(_host(precision="float32")) as machine:
        assert machine.precision(Precision.BFLOAT16) is Precision.BFLOAT16
        assert machine.precision(None) is Precision.FLOAT32
    with Machine.open(_host()) as machine:
        assert machine.precision(None) in Precision


def test_weights_that_no_loader_reads(spec: Any) -> None:
    never = SimpleNamespace(accepts=lambda _file: False)
    offers = {"picky": SimpleNamespace(build=lambda: never)}
    with (
        Machine.open(_host(offers)) as machine,
        pytest.raises(WeightsError, match=r"odd\.bin.*loaders here: picky"),
    ):
        machine.pool.get(spec)


def test_the_hub_is_shut_meanwhile(monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE")
    with offline():
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in os.environ


@pytest.mark.parametrize(("told", "meant"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_told_otherwise(
    told: str | None, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if told:
        monkeypatch.setenv("OMP_WAIT_POLICY", told)
    with offline():
        assert os.environ["OMP_WAIT_POLICY"] == meant
    assert os.environ.get("OMP_WAIT_POLICY") == told
