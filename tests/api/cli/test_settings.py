"""`stretto settings`: what a server keeps, shown and changed beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock
from stretto.api.cli.main import run
from stretto.api.serve import LOCK_NAME
from stretto.host.testing.safety import make_tiny_safety_checker


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert run(["settings", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_change_is_shown_from_then_on(capsys):
    assert shown(capsys)["switch_mode"] == "offload"
    assert run(["settings", "--set", "switch_mode=unload", "--set", "max_queued_invocations=9"]) == 0
    assert "unload" in capsys.readouterr().out
    assert shown(capsys)["switch_mode"] == "unload"
    assert run(["settings", "--set", "switch_mode=null"]) == 0
    assert (shown(capsys)["switch_mode"], shown(capsys)["max_queued_invocations"]) == (None, 9)


@pytest.mark.parametrize("word", ["safe", "sfe=true"])
def test_what_is_no_setting_is_a_usage_error(word, capsys):
    assert run(["settings", "--set", word]) == 2
    assert "safe" in capsys.readouterr().err


def test_a_fault_is_told_and_nothing_is_kept(capsys):
    assert run(["settings", "--set", "switch_mode=off"]) == 2
    assert "switch_mode" in capsys.readouterr().err
    assert shown(capsys)["switch_mode"] == "offload"


def test_safe_is_refused_without_its_weights(data_dir, capsys):
    assert run(["settings", "--set", "safe=true"]) == 2
    assert "hf download" in capsys.readouterr().err
    make_tiny_safety_checker(data_dir / "models" / "safety-checker", threshold=1.0)
    assert run(["settings", "--set", "safe=true"]) == 0
    assert shown(capsys)["safe"] is True


def test_a_running_server_keeps_its_own(data_dir, capsys):
    data_dir.mkdir()
    with FileLock(data_dir / LOCK_NAME):
        assert run(["settings", "--set", "switch_mode=unload"]) == 1
    assert "POST /api/settings" in capsys.readouterr().err


def test_a_model_that_is_not_here_is_refused(capsys, starter_path):
    assert run(["settings", "--set", "model=nope"]) == 2
    assert "model: " in capsys.readouterr().err
    assert run(["settings", "--set", "model=starter"]) == 0
    assert shown(capsys)["model"] == "starter"
