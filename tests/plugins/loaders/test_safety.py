from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host import ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.engine.components import settle, size_bytes
from stretto.host.engine.safety import flags
from stretto.host.errors import WeightsError
from stretto.host.testing.safety import make_tiny_safety_checker
from stretto.plugins.loaders.safety import SafetyCheckerLoader, checker_names


def load(folder: Path, file: str = "model.safetensors") -> Any:
    weights = WeightFile(path=str(folder / file), kind=WeightKind.SAFETY)
    loader = SafetyCheckerLoader()
    assert loader.accepts(weights)
    return settle(loader.load(ModelSpec(role=Role.SAFETY, weights=weights), Precision.FLOAT32, "cpu"))


@pytest.fixture
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    return [Image.fromarray(noise), Image.new("RGB", (64, 64), "red"), Image.new("RGB", (30, 90), "navy")]


@pytest.mark.parametrize(("threshold", "flagged"), [(-1.0, True), (1.0, False)])
def test_strictness_decides(tmp_path, pictures, threshold, flagged):
    model = load(make_tiny_safety_checker(tmp_path / "checker", threshold=threshold))
    assert flags(model, pictures) == (flagged,) * 3
    assert size_bytes(model) > 0


def test_flags_are_those_of_the_pipelines_of_diffusers(tmp_path, pictures, tiny_sd1):
    from diffusers import StableDiffusionPipeline

    found = []
    for threshold in (0.2, 0.3, 0.35, 0.4):
        model = load(make_tiny_safety_checker(tmp_path / "checker", threshold=threshold))
        pipe = StableDiffusionPipeline.from_pretrained(
            tiny_sd1,
            local_files_only=True,
            safety_checker=model.unet,
            feature_extractor=model.tokenizers[0],
            requires_safety_checker=True,
        )
        for picture in pictures:
            pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 127.5 - 1
            _, theirs = pipe.run_safety_checker(pixels, torch.device("cpu"), torch.float32)
            assert list(flags(model, [picture])) == theirs
            found += theirs
    assert len(set(found)) == 2, "all pictures fared alike, so nothing was compared"


def test_a_pickle_is_read_as_data(tmp_path, pictures):
    folder = make_tiny_safety_checker(tmp_path / "checker", threshold=-1.0)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    assert flags(load(folder, "pytorch_model.bin"), pictures[:1]) == (True,)


def test_published_names_lose_what_newer_transformers_does_not_have():
    one = torch.zeros(1)
    old = {
        "vision_model.vision_model.post_layernorm.weight": one,
        "vision_model.vision_model.embeddings.position_ids": one,
        "concept_embeds": one,
    }
    assert sorted(checker_names(old)) == ["concept_embeds", "vision_model.post_layernorm.weight"]
    new = {"vision_model.post_layernorm.weight": one}
    assert checker_names(new) == new


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "preprocessor_config.json"])
def test_a_broken_file_is_named(tmp_path, name):
    folder = make_tiny_safety_checker(tmp_path / "checker", threshold=1.0)
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(WeightsError, match=name):
        load(folder)
