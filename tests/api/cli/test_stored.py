"""`stretto models add|show|remove|import`, and drawing by a stored model's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stretto.api.cli.main import run
from stretto.host.testing.tiny import make_ldm_checkpoint


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def said(capsys, *arguments, status=0):
    capsys.readouterr()
    assert run(arguments) == status
    return capsys.readouterr()


def test_a_stored_model_from_beginning_to_end(starter_path, capsys):
    settings = ["--set", "scheduler=ddim", "--set", "guidance_scale=3", "--set", "prompt=bright"]
    assert said(capsys, "models", "add", "mine", "--checkpoint", "starter", *settings).out == (
        "kept mine: starter, 128 px\n"
    )
    shown = json.loads(said(capsys, "models", "show", "mine", "--json").out)
    assert shown == {
        "name": "mine",
        "model": "starter",
        "size": 128,
        "model_prompt": "bright",
        "scheduler": "ddim",
        "guidance_scale": 3.0,
    }
    assert "scheduler" in said(capsys, "models", "show", "mine").out
    rows = {row["name"]: row for row in json.loads(said(capsys, "models", "list", "--json").out)}
    assert (rows["mine"]["origin"], rows["mine"]["path"]) == ("stored", "starter")
    drawn = said(
        capsys, "invoke", "a circle", "--set", "model=mine", "--set", "guidance_scale=5", "--dry-run"
    )
    plan = json.loads(drawn.out)
    assert (plan["scheduler"], plan["nodes"][0]["guidance_scale"]) == ("ddim", 5)
    assert plan["nodes"][0]["prompt"] == "a circle, bright"
    assert said(capsys, "models", "remove", "mine").out.startswith("removed mine")
    assert "No model named mine" in said(capsys, "models", "show", "mine", status=1).err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["add", "mine", "--checkpoint", "startr"], 1, "did you mean 'starter'?"),
        (["add", "mine", "--checkpoint", "starter", "--set", "bogus=1"], 2, "a model has no 'bogus'"),
        (["add", "mine", "--checkpoint", "starter", "--set", "vae"], 2, "has no '='"),
        (["add", "a/b", "--checkpoint", "starter"], 2, "serves for no address"),
        (["add", "mine", "--checkpoint", "starter", "--set", "size=3"], 2, "size: 3 is not a whole number"),
        (["show", "mine"], 1, "No model named mine"),
        (["remove", "mine"], 1, "No model named mine"),
        (["import", "nowhere"], 2, "is no folder"),
        (["import", "."], 2, "say with --kind what is in it"),
    ],
)
def test_refusals(starter_path, capsys, arguments, status, words):
    assert words in said(capsys, "models", *arguments, status=status).err


def test_a_name_is_kept_once(starter_path, capsys):
    said(capsys, "models", "add", "mine", "--checkpoint", "starter")
    assert "exists already" in said(capsys, "models", "add", "mine", "--checkpoint", "starter", status=1).err


def test_another_programs_folder_is_used_in_place(tmp_path, tiny_sd1, capsys):
    folder = tmp_path / "webui" / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    make_ldm_checkpoint(tiny_sd1, folder / "theirs.safetensors")
    told = said(capsys, "models", "import", "webui").out
    assert told.splitlines()[1].split() == ["checkpoint", "1", "usable", str(folder)]
    rows = {row["name"]: row for row in json.loads(said(capsys, "models", "list", "--json").out)}
    assert rows["theirs.safetensors"]["path"] == str(folder / "theirs.safetensors")
    assert "forgot 1 folders" in said(capsys, "models", "import", "webui", "--forget").out
    rows = {row["name"] for row in json.loads(said(capsys, "models", "list", "--json").out)}
    assert "theirs.safetensors" not in rows
