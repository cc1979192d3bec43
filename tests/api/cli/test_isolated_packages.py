"""`stretto plugins install --isolated` and what the other commands then say of the plugin."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from stretto.api.cli.main import run

CODE = """
import os
import signal
from dataclasses import dataclass

from stretto.host import UpscalerSpec, hookimpl


@dataclass(frozen=True)
class Place:
    x: int = 0

    def __post_init__(self):
        if self.x > 5:
            raise ValueError("x goes to 5")


@dataclass(frozen=True)
class Settings:
    shade: int = 3
    place: Place = Place(x=1)


@dataclass(frozen=True)
class Parameters:
    places: tuple[Place, ...] = (Place(), Place(x=2))
    place: Place | None = None


class Mean:
    def upscale(self, image, amount):
        os.kill(os.getpid(), signal.SIGKILL)


@hookimpl
def register_upscalers(host):
    assert host.plugin_settings("mean", Settings).shade < 9
    return [UpscalerSpec(name="mean", build=lambda device: Mean())]
"""


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the plugin's wheel, and go to where there is nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    info, path = "stretto_mean-1.2.dist-info", tmp_path / "stretto_mean-1.2-py3-none-any.whl"
    files = {
        "mean.py": CODE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: stretto-mean\nVersion: 1.2\nRequires-Dist: stretto\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[stretto]\nmean = mean\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return path


def _row(capsys: pytest.CaptureFixture[str]) -> dict[str, Any] | None:
    capsys.readouterr()
    assert run(["plugins", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    return rows.get("mean")


def test_from_installing_to_removing(wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, environments = tmp_path / "data" / "plugins.toml", tmp_path / "data" / "environments"
    assert run(["plugins", "install", str(wheel), "--isolated", "--", "--no-index"]) == 0
    (folder,) = environments.iterdir()
    said = capsys.readouterr().out
    assert f"stretto-mean 1.2 is in {folder}, and on in {file}" in said
    assert file.read_text() == "[plugins.mean]\nisolated = true\n"

    row = _row(capsys)
    assert row is not None
    assert (row["origin"], row["status"], row["version"]) == ("isolated stretto-mean", "on", "1.2")
    assert row["offers"] == {"upscalers": ["mean"]}

    assert run(["plugins", "show", "mean", "--json"]) == 0
    isolated = json.loads(capsys.readouterr().out)
    assert list(isolated["settings"]["properties"]) == ["shade", "place"]
    refused = _refusal(capsys)

    drawing = [
        "invoke",
        "x",
        "--set",
        "num_inference_steps=1",
        "--set",
        "upscale=mean",
        "--set",
        "outscale=2",
    ]
    assert run(drawing) != 0
    assert (
        "PluginError: the plugin 'mean' was ended by SIGKILL in upscale; the next call starts its process anew"
        in capsys.readouterr().err
    )

    file.write_text("[plugins.mean]\nisolated = true\nshade = 9\n")
    row = _row(capsys)
    assert row is not None
    assert row["status"] == "broken"
    assert "the plugin 'mean' raised in its start: AssertionError" in row["reason"]

    assert run(["plugins", "remove", "mean"]) == 0
    assert _row(capsys) is None
    assert list(environments.iterdir()) == []

    (file.parent / "mean.py").write_text(CODE)  # in the host it declares the same
    file.write_text("[host]\npaths = ['mean.py']\n")
    assert run(["plugins", "show", "mean", "--json"]) == 0
    inside = json.loads(capsys.readouterr().out)
    for word in "settings", "values", "parameters":
        assert isolated[word] == inside[word] != {}
    assert _refusal(capsys) == refused


def _refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Give what is said of wrong parameters."""
    wrong = {"place": {"x": 6}, "places": [{}, {"x": "y"}]}
    assert run(["invoke", "x", "--set", f"plugins.mean={json.dumps(wrong)}"]) != 0
    said = capsys.readouterr().err
    assert "plugins.mean.places[1].x: " in said
    assert "x goes to 5" in said
    return said


def test_a_package_that_clashes_is_taken_out_again(
    wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, environments = tmp_path / "data" / "plugins.toml", tmp_path / "data" / "environments"
    clashing = tmp_path / "clashing" / wheel.name
    clashing.parent.mkdir()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(clashing, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'Spec(name="mean"', b'Spec(name="lanczos"'))
    command = ["plugins", "install", str(clashing), "--isolated", "--", "--no-index"]
    assert run(command) == 1
    assert capsys.readouterr().err == (
        "stretto: StateConflictError: stretto-mean was taken out again, for with it the plugins 'mean' (isolated "
        "stretto-mean) and 'resamplers' (built-in) both offer the upscaler 'lanczos'; disable the other one first: "
        "stretto plugins disable NAME\n"
    )
    assert list(environments.iterdir()) == []
    assert not file.exists()
    assert run([*command[:2], str(wheel), *command[3:]]) == 0
    kept, text = list(environments.iterdir()), "# mine\n[plugins.mean]\nisolated = true\nshade = 4\n"
    file.write_text(text)
    assert run(command) == 1
    assert (list(environments.iterdir()), file.read_text()) == (kept, text)
    row = _row(capsys)
    assert row is not None
    assert row["status"] == "on"


def test_what_pip_cannot_install_is_said_and_nothing_is_changed(
    wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plugins", "install", "not-there", "--isolated", "--", "--no-index"]) != 0
    said = capsys.readouterr().err
    assert "PluginError: pip could not install 'not-there' (exit code 1):" in said
    assert "No matching distribution found for not-there" in said
    assert not (tmp_path / "data" / "plugins.toml").exists()
    assert list((tmp_path / "data" / "environments").iterdir()) == []
