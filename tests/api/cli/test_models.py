"""`stretto models`: names, origins, and a folder that diffusers loads as it stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from stretto.api.cli.main import run
from stretto.host.testing.tiny import make_ldm_checkpoint


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_list_shows_what_ships_and_what_lies_in_the_folders(
    data_dir: Path, tiny_sd1: Path, starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = data_dir / "models" / "checkpoint"
    checkpoints.mkdir(parents=True)
    make_ldm_checkpoint(tiny_sd1, checkpoints / "mine.safetensors")
    shutil.copytree(tiny_sd1, data_dir / "models" / "diffusers" / "tiny")
    assert run(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["starter"]["origin"] == "plugin"
    assert rows["starter"]["size_px"] == 128
    assert rows["mine.safetensors"]["kind"] == "checkpoint"
    assert rows["tiny"]["kind"] == "diffusers"
    assert {row["family"] for row in rows.values()} == {"sd1"}
    assert run(["models", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:5] == [
        "NAME",
        "FAMILY",
        "SIZE",
        "ORIGIN",
        "PATH,",
    ]


def test_a_broken_file_is_a_row_with_its_reason(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = data_dir / "models" / "checkpoint"
    checkpoints.mkdir(parents=True)
    (checkpoints / "broken.safetensors").write_bytes(b"\xff" * 64)
    assert run(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert "starter" in rows
    assert rows["broken.safetensors"]["path"] is None
    assert "broken.safetensors" in rows["broken.safetensors"]["error"]


def test_path_is_a_folder_that_diffusers_loads(
    starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from diffusers import StableDiffusionPipeline

    assert run(["models", "path", "starter"]) == 0
    folder = capsys.readouterr().out.strip()
    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    drawn = pipe("a red circle", num_inference_steps=1, height=64, width=64, output_type="np").images
    assert drawn.shape == (1, 64, 64, 3)


def test_path_of_a_single_file_says_what_would_load_it(
    data_dir: Path, tiny_sd1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = data_dir / "models" / "checkpoint"
    checkpoints.mkdir(parents=True)
    make_ldm_checkpoint(tiny_sd1, checkpoints / "mine.safetensors")
    assert run(["models", "path", "mine.safetensors"]) == 1
    assert "from_single_file" in capsys.readouterr().err


def test_path_of_an_unknown_model_names_the_nearest(
    starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "path", "startr"]) == 1
    assert "starter" in capsys.readouterr().err
