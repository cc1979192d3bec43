"""`safe` on the command line and at a server's start: refused without weights, withheld with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stretto.api.cli.main import run
from stretto.host.testing.safety import make_tiny_safety_checker
from stretto.host.testing.tiny import make_tiny_sd1

BINARY = Path(sys.executable).with_name("stretto")
DRAW = ["invoke", "a cat", "--set", "model=one", "--set", "size=64", "--set", "num_inference_steps=1"]


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def checker(data_dir: Path) -> Path:
    make_tiny_sd1(data_dir / "models" / "diffusers" / "one")
    return make_tiny_safety_checker(data_dir / "models" / "safety-checker", threshold=-1.0)


def test_safe_without_weights_is_a_usage_error_that_names_folder_and_command(data_dir, capsys):
    assert run(["invoke", "a cat", "--set", "safe=true"]) == 2
    said = capsys.readouterr().err
    assert str(data_dir / "models" / "safety-checker") in said
    assert "hf download" in said
    assert not list((data_dir / "images").iterdir())


def test_a_server_whose_weights_are_gone_does_not_start(checker, data_dir):
    assert run(["settings", "--set", "safe=true"]) == 0
    (checker / "model.safetensors").unlink()
    command = [BINARY, "serve", "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "the setting safe is on" in ended.stderr
    assert "stretto settings --set safe=false" in ended.stderr


def test_what_is_flagged_is_told_and_not_stored(checker, data_dir, capsys):
    assert run([*DRAW, "--set", "safe=true", "--set", "samples=2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["withheld"]) == ([], 2)
    assert not list((data_dir / "images").iterdir())
    assert told["plan"]["resolved"]["checker"]["fingerprint"]
    (data_dir / "plan.json").write_text(json.dumps(told["plan"]))
    assert run(["invoke", "--plan", str(data_dir / "plan.json")]) == 0
    assert "withheld 2, by the safety checker" in capsys.readouterr().out


def test_a_replay_is_checked_where_the_setting_says_so(checker, data_dir, capsys):
    assert run([*DRAW, "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert run(["settings", "--set", "safe=true"]) == 0
    capsys.readouterr()
    assert run(["invoke", "--replay", image, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["withheld"]) == ([], 1)
    notes = told["plan"]["resolved"]["notes"]
    assert "safe: checked as the settings here say; the recorded plan was not" in notes
