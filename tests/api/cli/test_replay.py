"""`stretto invoke --plan` and `--replay`: the same pixels once more, or why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from stretto.api.cli.main import run

FEW = ["--set", "num_inference_steps=2", "--set", "seed=5"]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def _drawn(out: str, *arguments: str) -> list[Path]:
    assert run(["invoke", *arguments, "--out", out]) == 0
    return sorted(Path(out).glob("*.png"))


def _pixels(paths: list[Path]) -> list[bytes]:
    return [Image.open(path).tobytes() for path in paths]


def test_a_picture_is_drawn_again_to_the_pixel(data_dir: Path, picture_file: Path) -> None:
    more = ["--set", f"image={picture_file}", "--set", "scheduler=eads", "--set", "samples=2"]
    first = _drawn("first", "a red circle", *FEW, *more)
    again = _drawn("again", "--replay", str(first[1]))
    assert _pixels(again) == _pixels(first)
    plans = [json.loads(Image.open(path).info["stretto:plan"]) for path in (first[0], again[0])]
    assert plans[0] == plans[1]


def test_a_plan_is_drawn_to_the_same_pixels(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["invoke", "a red circle", *FEW, "--dry-run"]) == 0
    Path("plan.json").write_text(capsys.readouterr().out, encoding="utf-8")
    planned = _drawn("planned", "--plan", "plan.json")
    assert _pixels(planned) == _pixels(_drawn("prompted", "a red circle", *FEW))


def test_what_json_prints_is_a_plan_too(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["invoke", "a red circle", *FEW, "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    Path("made.json").write_text(json.dumps({"uuid": "x", "plan": plan}), encoding="utf-8")
    assert run(["invoke", "--plan", "made.json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == plan


@pytest.mark.parametrize(
    "arguments",
    [[], ["a red circle", "--replay", "x.png"], ["--plan", "x.png", "--set", "seed=1"]],
)
def test_one_source_is_given(data_dir: Path, arguments: list[str]) -> None:
    Image.new("RGB", (8, 8)).save("x.png")
    assert run(["invoke", *arguments]) == 2


def test_a_picture_without_a_plan_says_so(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save("x.png")
    assert run(["invoke", "--replay", "x.png"]) == 2
    assert "no text chunk 'stretto:plan'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"resolved": {"version": 1}}', "[" * 100_000])
def test_what_is_no_plan_is_refused(data_dir: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("plan.json").write_text(text, encoding="utf-8")
    info = PngImagePlugin.PngInfo()
    info.add_text("stretto:plan", text)
    Image.new("RGB", (8, 8)).save("x.png", pnginfo=info)
    for arguments in (["--plan", "plan.json"], ["--replay", "x.png"]):
        assert run(["invoke", *arguments]) == 2
        assert capsys.readouterr().err.startswith("stretto: BadRequestError: ")


def test_other_weights_under_the_same_name_are_refused(
    data_dir: Path, starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["invoke", "a red circle", *FEW, "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    plan["resolved"]["model"]["fingerprint"] = "0" * 64
    Path("plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert run(["invoke", "--plan", "plan.json", "--dry-run"]) == 1
    assert "its content is another" in capsys.readouterr().err
    plan["resolved"]["model"] |= {"name": "gone.safetensors", "path": "/gone/gone.safetensors"}
    Path("plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert run(["invoke", "--plan", "plan.json", "--dry-run"]) == 1
    assert "'gone.safetensors' (diffusers), which is not here" in capsys.readouterr().err


def test_an_input_image_that_is_gone_is_named(
    data_dir: Path, picture_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["invoke", "a red circle", *FEW, "--set", f"image={picture_file}", "--dry-run"]) == 0
    Path("plan.json").write_text(capsys.readouterr().out, encoding="utf-8")
    shutil.rmtree(data_dir / "inputs")
    assert run(["invoke", "--plan", "plan.json", "--dry-run"]) == 1
    assert "invoke with that image once more" in capsys.readouterr().err


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    path = tmp_path / "input.png"
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(path)
    return path
