"""`stretto invoke`: parameters by name, a plan without drawing, a drawn image, and a clean stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from stretto.api.cli.invoke import PARAMETER
from stretto.api.cli.main import run

BINARY = Path(sys.executable).with_name("stretto")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("width=256", ("width", 256)),
        ("scheduler=eads", ("scheduler", "eads")),
        ("guidance_scale=7.5", ("guidance_scale", 7.5)),
        ('upscale=["lanczos", "nearest"]', ("upscale", ["lanczos", "nearest"])),
        ("intermediates=false", ("intermediates", False)),
        ("seed=null", ("seed", None)),
        ("negative_prompt=a=b", ("negative_prompt", "a=b")),
        ("vae=", ("vae", "")),
    ],
)
def test_a_value_is_json_or_else_text(text: str, pair: tuple[str, Any]) -> None:
    assert PARAMETER.convert(text, None, None) == pair


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width", "'width' has no '='"),
        ("widht=8", "no parameter is called 'widht'; did you mean 'width'?"),
        ("defaults={}", "no parameter is called 'defaults'"),
    ],
)
def test_a_wrong_assignment_says_what_would_do(text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said.replace("?", "\\?")):
        PARAMETER.convert(text, None, None)


def _plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["invoke", "a red circle", "--dry-run", *arguments]) == 0
    plan: dict[str, Any] = json.loads(capsys.readouterr().out)
    return plan


def test_dry_run_prints_the_plan_and_draws_nothing(
    capsys: pytest.CaptureFixture[str], data_dir: Path, starter_path: Path
) -> None:
    plan = _plan(capsys, "--set", "seed=0", "--set", "width=192", "--set", "scheduler=eads")
    assert (plan["model"], plan["prompt"], plan["seed"]) == ("starter", "a red circle", 0)
    assert (plan["width"], plan["height"], plan["scheduler"]) == (192, 128, "eads")
    assert list((data_dir / "images").iterdir()) == []


def test_each_run_draws_a_seed_and_records_it(capsys: pytest.CaptureFixture[str], starter_path: Path) -> None:
    seeds = {_plan(capsys)["seed"] for _ in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("scheduler=edas", "did you mean 'eds'?"),
        ("width=wide", "width"),
        ("samples=0", "samples"),
        ("image=/no/such/picture.png", "image"),
        ("negative_prompt=blue\udcff", "negative_prompt: U+DCFF is half a character"),
    ],
)
def test_a_value_that_cannot_be_is_usage(
    assignment: str, said: str, capsys: pytest.CaptureFixture[str], starter_path: Path
) -> None:
    assert run(["invoke", "a red circle", "--dry-run", "--set", assignment]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("stretto: BadRequestError: ")
    assert said in captured.err


def test_a_failure_is_1_with_its_reason(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = data_dir / "models" / "checkpoint"
    checkpoints.mkdir(parents=True)
    (checkpoints / "torn.safetensors").write_bytes(b"half a header")
    (checkpoints / "torn.ckpt").write_bytes(b"half a pickle")
    for name, status, said in (
        ("torn.safetensors", 2, "stretto: BadRequestError: model: "),
        ("torn.ckpt", 1, "stretto: WeightsError: "),  # which is opened by the loader alone
    ):
        assert run(["invoke", "a red circle", "--set", f"model={name}"]) == status
        captured = capsys.readouterr()
        assert captured.out == ""
        assert said in captured.err
        assert name in captured.err


def test_an_out_that_cannot_be_is_told_before_anything_is_drawn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, starter_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["invoke", "a red circle", "--out", "file/below"]) == 2
    captured = capsys.readouterr()
    assert "--out: file/below cannot be made" in captured.err
    assert "it/s" not in captured.err


def test_json_is_one_object_and_the_image_carries_its_plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, starter_path: Path
) -> None:
    from PIL import Image

    arguments = ["--set", "num_inference_steps=2", "--set", "seed=5", "--set", "samples=2"]
    assert run(["invoke", "a red circle", "--json", "--out", "made", *arguments]) == 0
    captured = capsys.readouterr()
    made = json.loads(captured.out)
    assert set(made) == {"uuid", "images", "withheld", "seed", "model", "duration", "plan"}
    assert (made["seed"], made["model"], made["plan"]["samples"]) == (5, "starter", 2)
    assert made["duration"] > 0
    assert re.fullmatch("[0-9a-f]{64}", made["plan"]["resolved"]["model"]["sha256"])
    assert [Path(path).parent for path in made["images"]] == [tmp_path / "made"] * 2
    for path in made["images"]:
        with Image.open(path) as image:
            assert image.size == (128, 128)
            assert json.loads(image.info["stretto:plan"])["seed"] == 5
    assert "it/s" in captured.err


def test_words_name_path_seed_model_seconds_and_the_server(
    capsys: pytest.CaptureFixture[str], data_dir: Path, starter_path: Path
) -> None:
    assert run(["invoke", "a red circle", "--set", "num_inference_steps=2", "--set", "seed=5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("To serve"))
    assert Path(said["image"]).parent == data_dir / "images"
    assert Path(said["image"]).is_file()
    assert (said["seed"], said["model"]) == ("5", "starter")
    assert float(said["seconds"]) > 0
    assert lines[-1].endswith("stretto serve")


def test_ctrl_c_stops_cleanly(data_dir: Path, starter_path: Path) -> None:
    arguments = ["invoke", "a red circle", "--set", "num_inference_steps=1000", "--set", "samples=8"]
    # whoever runs the tests in the background has Ctrl-C ignored, which programs inherit
    heard = ["env", "--default-signal=INT", BINARY]
    process = subprocess.Popen(
        [*heard, *arguments], env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    while b"it/s" not in said:  # the bar moves: the engine is at work
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, said.decode()
        said += piece
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, (said + rest).decode()
    assert out == b""
    assert b"stretto: stopped" in rest
    assert b"Traceback" not in said + rest
    assert list((data_dir / "images").iterdir()) == []


def test_words_of_other_releases_are_read_and_told(
    capsys: pytest.CaptureFixture[str], starter_path: Path
) -> None:
    words = [
        "--set",
        "inference_steps=2",
        "--set",
        "tiling_unet=false",
        "--set",
        "iterations=2",
        "--set",
        "clip_skip=1",
    ]
    assert run(["invoke", "a red circle", "--dry-run", "--set", "seed=5", *words]) == 0
    plan = json.loads(capsys.readouterr().out)["resolved"]
    assert plan["notes"] == [
        "'tiling_unet' false was read as 'chunking_size' 0: one window over everything",
        "'inference_steps' was read as 'num_inference_steps'",
    ]
    assert (plan["nodes"][0]["num_inference_steps"], plan["chunking_size"]) == (2, 0)
    assert (plan["iterations"], plan["clip_skip"]) == (2, 1)


def test_iterations_replay_to_the_pixel(
    capsys: pytest.CaptureFixture[str], data_dir: Path, starter_path: Path
) -> None:
    from PIL import Image

    words = [
        "--set",
        "num_inference_steps=2",
        "--set",
        "iterations=2",
        "--set",
        "clip_skip=1",
        "--set",
        "seed=5",
    ]
    assert run(["invoke", "a red circle", "--json", *words]) == 0
    made = json.loads(capsys.readouterr().out)
    assert len(made["images"]) == 2
    (data_dir / "plan.json").write_text(json.dumps(made["plan"]))
    assert run(["invoke", "--plan", str(data_dir / "plan.json"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["images"]
    assert run(["invoke", "--replay", made["images"][1], "--json"]) == 0
    (second,) = json.loads(capsys.readouterr().out)["images"]
    for one, other in (
        (made["images"][0], again[0]),
        (made["images"][1], again[1]),
        (made["images"][1], second),
    ):
        with Image.open(one) as left, Image.open(other) as right:
            assert left.tobytes() == right.tobytes()
