"""Parameters of the built-in plugins from the command line to the pixels, and once more by --plan and --replay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from stretto.api.cli.main import run
from stretto.host.testing.networks import make_tiny_remover

QUICK = ("--set", "num_inference_steps=2", "--set", "seed=5", "--set", "width=64", "--set", "height=64")
Said = Callable[..., Any]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    Path("plugins.toml").write_text("[host]\nautoload = false\n")

    def say(*arguments: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert run(["invoke", *arguments]) == status, capsys.readouterr().err
        out, err = capsys.readouterr()
        return err if status else json.loads(out)

    return say


def drawn(answer: Any) -> Image.Image:
    (path,) = answer["images"]
    with Image.open(path) as image:
        image.load()
    return image


def followed(said: Said, image: Path, *more: str) -> Any:
    ours = ("--set", "controlnet=canny", "--set", f"control_image={image}", *QUICK, "--json")
    return said("a circle", *ours, *more)


@pytest.fixture
def soft(tmp_path: Path) -> Path:
    """A picture with a steep edge and a gentle one, which Canny's usual thresholds do not see."""
    image = Image.new("RGB", (64, 64), (90, 90, 90))
    ImageDraw.Draw(image).ellipse((8, 8, 44, 44), fill=(120, 120, 120))
    image = image.filter(ImageFilter.GaussianBlur(1))
    ImageDraw.Draw(image).rectangle((50, 10, 58, 54), fill=(255, 255, 255))
    image.save(tmp_path / "soft.png")
    return tmp_path / "soft.png"


def test_cannys_thresholds_make_the_lines_that_are_followed(said: Said, soft: Path, tmp_path: Path) -> None:
    picture = np.asarray(Image.open(soft))
    usual, lines = cv2.Canny(picture, 100, 200), cv2.Canny(picture, 20, 60)
    assert np.count_nonzero(lines) > 1.5 * np.count_nonzero(usual) > 0
    Image.fromarray(np.stack([lines] * 3, axis=-1)).save("edges.png")
    expected = drawn(followed(said, tmp_path / "edges.png", "--set", "process_control_image=false")).tobytes()
    low = ("--set", "plugins.controls.low_threshold=20", "--set", "plugins.controls.high_threshold=60")
    lower = followed(said, soft, *low)
    assert drawn(lower).tobytes() == expected
    values = {"low_threshold": 20, "high_threshold": 60}
    assert lower["plan"]["resolved"]["plugins"] == {"controls": values}

    # the plan that was drawn by, from what --json printed and from the picture itself
    Path("drawn.json").write_text(json.dumps(lower), encoding="utf-8")
    for source in (("--plan", "drawn.json"), ("--replay", lower["images"][0])):
        again = said(*source, "--json")
        assert drawn(again).tobytes() == expected, source
        assert again["plan"]["resolved"]["plugins"] == {"controls": values}, source
        assert json.loads(drawn(again).info["stretto:plan"])["resolved"]["plugins"] == {"controls": values}


def test_a_recorded_plan_says_what_is_wrong_with_its_parameters(
    said: Said, soft: Path, tmp_path: Path
) -> None:
    plan = said("a circle", *QUICK, "--set", "plugins.controls.low_threshold=20", "--dry-run")
    assert plan["resolved"]["plugins"] == {"controls": {"low_threshold": 20, "high_threshold": 200}}
    wrong = [
        ({"low_threshold": 3000}, "plugins.controls.low_threshold: must be at most 2040, not 3000"),
        ({"low_treshold": 1}, "plugins.controls.low_treshold: is not known here; did you mean 'low_threshold'?"),
        ({"low_threshold": 300}, "plugins.controls: cannot be so: low_threshold 300 is above high_threshold 200"),
    ]  # fmt: skip
    for values, words in wrong:
        plan["resolved"]["plugins"] = {"controls": values}
        Path("plan.json").write_text(json.dumps(plan), encoding="utf-8")
        assert words in said("--plan", "plan.json", "--dry-run", status=2)
    plan["resolved"]["plugins"] = {"controls": {"low_threshold": 20}}
    Path("plan.json").write_text(json.dumps(plan), encoding="utf-8")
    Path("plugins.toml").write_text('[host]\nautoload = false\ndisable = ["controls"]\n')
    words = "plugins.controls: is off: disabled by [host] disable in "
    assert words in said("--plan", "plan.json", "--dry-run", status=2)


def test_plans_and_pictures_are_drawn_without_set(said: Said, soft: Path) -> None:
    picture = ("--replay", str(soft), "--set", "plugins.controls.low_threshold=20")
    assert "A recorded plan is drawn as it is; --set goes with PROMPT." in said(*picture, status=2)


def test_the_network_that_cuts_out_is_chosen(said: Said, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "models" / "background"
    make_tiny_remover(folder / "u2net.onnx")
    make_tiny_remover(folder / "u2netp.onnx")
    shutil.copy(make_tiny_remover(tmp_path / "large.onnx", side_px=1024), folder / "isnet-anime.onnx")
    cut = ("a circle", *QUICK, "--set", "remove_background=true", "--json")
    pictures = {}
    for network in (None, "u2netp", "isnet-anime"):
        more = ("--set", f"plugins.backgrounds.network={network}") if network else ()
        answer = said(*cut, *more)
        recorded = json.loads(drawn(answer).info["stretto:plan"])["resolved"]
        assert recorded["remover"]["method"] == (network or "u2net")
        assert recorded["plugins"] == ({"backgrounds": {"network": network}} if network else {})
        pictures[network] = drawn(answer)
    assert {image.mode for image in pictures.values()} == {"RGBA"}
    assert (
        pictures["u2netp"].tobytes() == pictures[None].tobytes()
    )  # the same tiny network, under another name
    # IS-Net's pictures are normalized otherwise, so that the same network draws another line
    assert pictures["isnet-anime"].convert("RGB").tobytes() == pictures[None].convert("RGB").tobytes()
    assert pictures["isnet-anime"].getchannel("A").tobytes() != pictures[None].getchannel("A").tobytes()
    again = said("--replay", answer["images"][0], "--json")
    assert drawn(again).tobytes() == pictures["isnet-anime"].tobytes()


def test_a_network_that_is_not_here_is_named(said: Said, tmp_path: Path) -> None:
    make_tiny_remover(tmp_path / "data" / "models" / "background" / "u2net.onnx")
    cut = ("a circle", *QUICK, "--set", "remove_background=true", "--dry-run")
    words = said(*cut, "--set", "plugins.backgrounds.network=silueta", status=2)
    assert "remove_background: needs a network's weights; put one of silueta.onnx into " in words
    assert "u2net.onnx" not in words
    words = said(*cut, "--set", "plugins.backgrounds.network=siluetta", status=2)
    assert "plugins.backgrounds.network: " in words
    assert "did you mean 'silueta'?" in words
    Path("plugins.toml").write_text('[host]\nautoload = false\n[plugins.backgrounds]\nnetwork = "u2net"\n')
    words = said(*cut, "--set", "plugins.backgrounds.network=silueta", status=2)
    assert "plugins.backgrounds.network: 'silueta' is not offered here, only 'u2net'; " in words
