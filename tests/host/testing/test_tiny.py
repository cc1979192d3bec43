from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stretto.host.testing.tiny import make_tiny_sd1, make_tiny_sdxl, write_tokenizer

MODELS = ["tiny_sd1", "tiny_sd2", "tiny_sdxl", "tiny_refiner", "tiny_inpainter"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_same_seed_writes_the_same_bytes_and_no_other(tmp_path: Path, tiny_sd1: Path) -> None:
    assert contents(make_tiny_sd1(tmp_path / "again")) == contents(tiny_sd1)
    other = contents(make_tiny_sd1(tmp_path / "other", seed=9))
    assert other["unet/config.json"] == contents(tiny_sd1)["unet/config.json"]
    assert (
        other["unet/diffusion_pytorch_model.safetensors"]
        != (contents(tiny_sd1)["unet/diffusion_pytorch_model.safetensors"])
    )


@pytest.mark.parametrize("name", MODELS)
def test_they_stay_small(name: str, request: pytest.FixtureRequest) -> None:
    assert sum(len(data) for data in contents(request.getfixturevalue(name)).values()) < 16e6


def test_a_model_is_made_in_seconds_and_only_once(tmp_path: Path) -> None:
    start = time.monotonic()
    folder = make_tiny_sdxl(tmp_path / "sdxl")
    assert time.monotonic() - start < 60
    before = (folder / "model_index.json").stat().st_mtime_ns
    make_tiny_sdxl(folder)
    assert (folder / "model_index.json").stat().st_mtime_ns == before


def test_what_an_interrupted_build_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "sd1.building").mkdir()
    (tmp_path / "sd1.building" / "half").write_text("half")
    folder = make_tiny_sd1(tmp_path / "sd1")
    assert not (folder / "half").exists()
    assert not (tmp_path / "sd1.building").exists()


def test_it_leaves_the_callers_random_state_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_tiny_sd1(tmp_path / "sd1")
    assert torch.equal(torch.rand(3), expected)


def test_the_text_encoders_of_sdxl_differ_in_width(tiny_sdxl: Path) -> None:
    widths = [
        json.loads((tiny_sdxl / part / "config.json").read_text())["hidden_size"]
        for part in ("text_encoder", "text_encoder_2")
    ]
    assert widths[0] != widths[1]


@pytest.mark.parametrize("name", ["tiny_sd1", "tiny_sd2", "tiny_sdxl"])
def test_diffusers_own_pipeline_runs_them(name: str, request: pytest.FixtureRequest) -> None:
    import numpy as np
    import torch
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(request.getfixturevalue(name), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipeline("a red cat", num_inference_steps=2, output_type="np", generator=generator).images
    assert images.shape == (1, 64, 64, 3)
    assert np.isfinite(images).all()
    assert images.std() > 0.02


def test_the_tokenizer_keeps_its_words_whole_and_takes_any_text(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    size = write_tokenizer(tmp_path / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer", local_files_only=True)
    assert len(tokenizer) == size
    assert tokenizer.tokenize("A photo of a red cat") == [
        "a</w>", "photo</w>", "of</w>", "a</w>", "red</w>", "cat</w>",
    ]  # fmt: skip
    assert tokenizer.unk_token not in tokenizer.tokenize("Zürich 東京 🐈")
    padded = tokenizer("a cat", padding="max_length").input_ids
    assert len(padded) == 77
    assert padded[-1] == size - 1


def test_importing_the_fixtures_imports_no_torch() -> None:
    code = "import sys, stretto.host.testing.fixtures; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
