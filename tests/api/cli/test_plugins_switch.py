"""`stretto plugins enable`, `disable`, `order` and `show`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stretto.api.cli.main import run
from stretto.host.plugboard.alterations import sole_writer
from stretto.host.plugboard.guard import read_off, switch_off

OFFER = """
from dataclasses import dataclass
from stretto.host import UpscalerSpec, hookimpl
REQUIRES_STRETTO_API = ">=1.0,<2"
@dataclass(frozen=True)
class Settings:
    tile: int = 64
    mode: str | None = None
@hookimpl
def register_upscalers(host):
    return [UpscalerSpec(name="same", build=lambda device: None)]
"""
FILE = """# my plugins
[host]
autoload = false
paths = ["ann.py", "bob.py", "bad.py"]
disable = [
    "bob",  # clashes with ann
]
require = ["loaders"]

[plugins.ann]
tile = 32  # small
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    yield tmp_path
    for name in ("ann", "bob"):
        sys.modules.pop(f"stretto_plugin_{name}", None)


@pytest.fixture
def file(place: Path) -> Path:
    (place / "ann.py").write_text(OFFER)
    (place / "bob.py").write_text(OFFER)
    (place / "bad.py").write_text("import no_such_module_here\n")
    (place / "plugins.toml").write_text(FILE)
    return place / "plugins.toml"


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert run(["plugins", "list", "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run(["plugins", *words]) == 1
    return capsys.readouterr().err


def test_without_a_file_the_data_directorys_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "data" / "plugins.toml"
    assert run(["plugins", "disable", "vaes", "faces"]) == 0
    assert capsys.readouterr().out == f"off: vaes, faces ({file})\n"
    assert file.read_text() == '[host]\ndisable = ["vaes", "faces"]\n'
    found = rows(capsys)
    assert (found["vaes"]["status"], found["faces"]["status"], found["starter"]["status"]) == (
        "off",
        "off",
        "on",
    )
    assert run(["plugins", "disable", "vaes"]) == 0
    assert capsys.readouterr().out == "off: vaes, as it was before\n"
    assert run(["plugins", "enable", "vaes", "faces"]) == 0
    assert rows(capsys)["vaes"]["status"] == "on"
    assert run(["plugins", "order", "superres", "faces"]) == 0
    assert file.read_text() == '[host]\ndisable = []\norder = ["superres", "faces"]\n'
    assert [one.name for one in file.parent.glob("plugins.toml*")] == ["plugins.toml"]


def test_comments_and_layout_stay(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o640)
    assert run(["plugins", "disable", "ann"]) == 0
    assert run(["plugins", "order", "bob"]) == 0
    assert run(["plugins", "enable", "bob"]) == 0
    disabled = '    "bob",  # clashes with ann\n'
    assert file.read_text() == FILE.replace(disabled, '    "ann",\n').replace(
        'require = ["loaders"]\n', 'require = ["loaders"]\norder = ["bob"]\n'
    )
    assert file.stat().st_mode & 0o777 == 0o640
    found = rows(capsys)
    assert (found["ann"]["status"], found["bob"]["status"]) == ("off", "on")


def test_a_link_to_the_file_stays_one(file: Path) -> None:
    real = file.with_name("real.toml")
    file.rename(real)
    file.symlink_to(real.name)
    assert run(["plugins", "disable", "vaes"]) == 0
    assert file.is_symlink()
    assert '"vaes"' in real.read_text()


def test_what_cannot_be_is_one_line_and_nothing_is_written(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        refused(capsys, "enable", "bbo")
        == "stretto: NotFoundError: there is no plugin 'bbo'; did you mean 'bob'?\n"
    )
    assert refused(capsys, "disable", "loaders") == (
        f"stretto: StateConflictError: {file} requires the plugin 'loaders'; take it out of `require` there, and then "
        "disable it\n"
    )
    folder = file.parent
    assert refused(capsys, "enable", "bob") == (
        f"stretto: StateConflictError: the plugins 'ann' (file {folder}/ann.py) and 'bob' (file {folder}/bob.py) both "
        "offer the upscaler 'same'; disable the one that you do not want first (nothing was changed)\n"
    )
    assert (
        refused(capsys, "enable", "bad")
        .splitlines()[-1]
        .startswith(
            "stretto: StateConflictError: the plugin 'bad' cannot be on: it is broken, ModuleNotFoundError: No module named "
        )
    )
    assert "the order has 'vaes' twice" in _usage(capsys, "order", "vaes", "vaes")
    assert "did you mean 'vaes'" in refused(capsys, "order", "vae")
    assert file.read_text() == FILE


def test_one_that_was_switched_off_and_cannot_be_on_stays_off(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = file.parent / "data"
    root.mkdir()
    switch_off(root, "bob", 5, "observe raised OSError: no")
    before = read_off(root)
    assert "(nothing was changed)" in refused(capsys, "enable", "bob")
    assert (read_off(root), file.read_text()) == (before, FILE)


def _usage(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run(["plugins", *words]) == 2
    return capsys.readouterr().err


def test_a_clash_that_keeps_the_host_down_is_settled_by_disable(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE.replace('    "bob",  # clashes with ann\n', '    "vaes",\n'))
    said = refused(capsys, "list")
    assert 'one of these is to stand for disable = ["vaes"]:\n\n  disable = ["vaes", "ann"]\n' in said
    assert run(["plugins", "disable", "ann"]) == 0
    assert rows(capsys)["bob"]["status"] == "on"


def test_packages_are_not_enabled_one_by_one_without_autoload(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = tmp_path / "installed" / "quiet-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: quiet\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[stretto]\nquiet = quiet_module\n")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    said = refused(capsys, "enable", "quiet")
    assert f"[host] autoload is false in {file}, so no package's plugin is on, nor can 'quiet' be" in said
    assert file.read_text() == FILE


def test_what_failed_too_often_is_on_again_when_it_is_enabled(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["plugins", "list"])
    switch_off(tmp_path / "data", "ann", 5, "ValueError: no")
    assert rows(capsys)["ann"]["reason"].startswith("switched off after 5 failures in a row")
    assert run(["plugins", "enable", "ann"]) == 0
    assert rows(capsys)["ann"]["status"] == "on"
    assert read_off(tmp_path / "data") == {}
    assert file.read_text() == FILE


def test_two_writers_wait_for_each_other(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stretto.host.plugboard.alterations.PATIENCE_S", 0.05)
    with sole_writer(tmp_path / "data"):
        assert "are being changed by another command; try again" in refused(capsys, "disable", "vaes")
    assert file.read_text() == FILE


def test_a_file_that_may_not_be_written_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refused(capsys, "disable", "vaes")
    assert file.read_text() == FILE
    assert sorted(one.name for one in file.parent.iterdir() if "toml" in one.name) == ["plugins.toml"]


def test_all_about_one_plugin_is_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "show", "ann"]) == 0
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    assert ["origin", "file", str(file.parent / "ann.py")] in lines
    assert ["plugin", "API", ">=1.0,<2"] in lines
    assert ["hooks", "register_upscalers"] in lines
    assert ["upscalers", "same"] in lines
    assert ["tile", "integer", "64", "32"] in lines
    assert ["mode", "string", "or", "null", "null", "null"] in lines
    assert "costs so far" in shown
    assert run(["plugins", "show", "ann", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["values"] == {"tile": 32, "mode": None}
    assert [cost["hook"] for cost in whole["costs"]] == []
    assert run(["plugins", "show", "bob", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "off"
    assert run(["plugins", "show", "bad"]) == 0
    assert "status      broken: ModuleNotFoundError" in capsys.readouterr().out
    assert "did you mean 'ann'" in refused(capsys, "show", "an")
