"""`stretto doctor`: a row a thing, a command for each gap, and 1 only when an image would fail."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stretto.api.cli.main import run
from stretto.api.entities import open_database
from stretto.api.settings_store import SettingsStore
from stretto.api.store import database_file
from stretto.host.testing.safety import make_tiny_safety_checker

ROWS = {
    "python", "torch", "device", "dtype", "nvml", "onnxruntime", "tensorrt", "plugins", "model",
    "model folders", "database", "disk", "memory", "safety checker",
    "engines", "compiler onnxruntime", "compiler tensorrt", "compiler tensorrt_rtx", "compiler torch_compile",
}  # fmt: skip


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def _rows(capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, dict[str, Any]]:
    assert run(["doctor", "--json"]) == status
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_everything_for_the_first_image_is_here(
    capsys: pytest.CaptureFixture[str], starter_path: Path
) -> None:
    rows = _rows(capsys)
    assert set(rows) == ROWS
    assert {row["status"] for row in rows.values() if row["needed"]} == {"ok"}
    assert rows["model"]["found"].endswith(str(starter_path))


def test_onnxruntime_says_what_a_session_runs_on_not_what_it_could(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = _rows(capsys)
    assert rows["onnxruntime"]["status"] == "ok"
    assert "CPUExecutionProvider" in rows["onnxruntime"]["found"]
    if rows["nvml"]["status"] == "absent":
        assert "CUDA" not in rows["onnxruntime"]["found"]


def test_every_gap_has_what_closes_it(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = [row for row in _rows(capsys).values() if row["status"] != "ok"]
    assert [row["name"] for row in gaps if not row["fix"]] == []
    assert run(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].split() == ["WHAT", "STATUS", "FOUND"]
    assert all(row["fix"] in said for row in gaps)


def test_a_missing_model_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plugins.toml").write_text('[host]\ndisable = ["starter"]\n')
    row = _rows(capsys, status=1)["model"]
    assert row["status"] == "absent"
    assert "models" in row["fix"]


def test_a_misspelt_plugins_file_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plugins.toml").write_text("[hots]\n")
    row = _rows(capsys, status=1)["plugins"]
    assert row["status"] == "broken"
    assert "host" in row["found"]


def test_a_broken_database_is_found_and_a_sound_one_too(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "first" in _rows(capsys)["database"]["found"]
    open_database(database_file(data_dir)).close()
    assert _rows(capsys)["database"]["status"] == "ok"
    (database_file(data_dir)).write_bytes(b"no database at all" * 100)
    with closing(sqlite3.connect(data_dir / "other.db")):
        row = _rows(capsys, status=1)["database"]
    assert row["status"] == "broken"
    assert row["fix"].startswith("mv ")


def test_the_model_is_the_one_that_is_set(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_database(database_file(data_dir))) as records:
        SettingsStore(records).change({"model": "gone.safetensors"})
    row = _rows(capsys, status=1)["model"]
    assert "gone.safetensors" in row["found"]


def test_a_data_directory_that_cannot_be_made_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "file" / "data"))
    rows = _rows(capsys, status=1)
    assert "cannot be used" in rows["plugins"]["found"]
    assert rows["plugins"]["fix"] == "name another place with --data-dir"
    assert rows["disk"]["status"] == "broken"
    assert "--data-dir" in rows["disk"]["fix"]


def test_how_models_share_the_memory(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir.mkdir()
    assert run(["settings", "--set", "switch_mode=unload", "--set", f"pool_budget_bytes={3 * 2**30}"]) == 0
    capsys.readouterr()
    found = _rows(capsys)["memory"]["found"]
    assert found.startswith("switch_mode unload; models may take 3.0 GB of ")


def test_the_safety_checker_is_needed_when_safe_is_on(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = _rows(capsys)["safety checker"]
    assert (row["status"], row["needed"]) == ("absent", False)
    assert "hf download" in row["fix"]
    make_tiny_safety_checker(data_dir / "models" / "safety-checker", threshold=1.0)
    assert run(["settings", "--set", "safe=true"]) == 0
    capsys.readouterr()
    row = _rows(capsys)["safety checker"]
    assert (row["status"], row["needed"]) == ("ok", True)
    (data_dir / "models" / "safety-checker" / "config.json").unlink()
    assert _rows(capsys, status=1)["safety checker"]["status"] == "absent"
