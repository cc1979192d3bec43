"""`stretto plugins list`: a row for each plugin, and why one is off or broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stretto.api.cli.main import run

BUILT_IN = {
    "starter",
    "schedulers",
    "loaders",
    "patchers",
    "vaes",
    "resamplers",
    "superres",
    "realesrgan",
    "backgrounds",
    "controls",
    "faces",
    "compilers",
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))


def _rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    assert run(["plugins", "list", "--json", *arguments]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_built_in_plugins_are_on_and_say_what_they_offer(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _rows(capsys)
    assert {name for name, row in rows.items() if row["origin"] == "built-in"} == BUILT_IN
    assert {row["status"] for row in rows.values()} == {"on"}
    assert len(rows["schedulers"]["offers"]["schedulers"]) == 14
    assert len(rows["controls"]["offers"]["controlnets"]) == 12
    assert rows["starter"]["version"] == "0.1.0"


def test_a_plugin_that_is_off_or_broken_is_a_row_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "mine.toml").write_text('[host]\ndisable = ["vaes"]\npaths = ["broken.py"]\n')
    rows = _rows(capsys, "--plugins", "mine.toml")
    assert rows["vaes"]["status"] == "off"
    assert "disable" in rows["vaes"]["reason"]
    assert rows["broken"]["status"] == "broken"
    assert "no_such_module_anywhere" in rows["broken"]["reason"]
    assert rows["schedulers"]["status"] == "on"
    assert run(["plugins", "list", "--plugins", "mine.toml"]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split() == ["NAME", "VERSION", "ORIGIN", "STATUS", "OFFERS"]
    assert "no_such_module_anywhere" in table


def test_the_working_folders_file_and_the_environments_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugins.toml").write_text('[host]\ndisable = ["vaes"]\n')
    assert _rows(capsys)["vaes"]["status"] == "off"
    (tmp_path / "other.toml").write_text('[host]\ndisable = ["resamplers"]\n')
    monkeypatch.setenv("STRETTO_PLUGINS", "other.toml")
    rows = _rows(capsys)
    assert (rows["vaes"]["status"], rows["resamplers"]["status"]) == ("on", "off")


def test_a_misspelt_key_is_an_error_that_names_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugins.toml").write_text("[host]\ndisabel = []\n")
    assert run(["plugins", "list"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("stretto: ConfigurationError: ")
    assert "disable" in said
