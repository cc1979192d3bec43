"""A UNet alone with the other parts of a model is the whole model, to the bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stretto.host import Family, LoadedModel, ModelSpec, Precision, Role, WeightFile
from stretto.host.catalog.probe import probe
from stretto.host.errors import WeightsError
from stretto.host.testing.tiny import make_ldm_checkpoint
from stretto.plugins.loaders.alone import UnetLoader
from stretto.plugins.loaders.folder import FolderLoader


def file_of(unet: Path, parts: Path) -> WeightFile:
    return replace(probe(unet), family=Family.SD1, parts_from=probe(parts))


def loaded(file: WeightFile) -> LoadedModel:
    return UnetLoader().load(ModelSpec(role=Role.INPAINTER, weights=file), Precision.FLOAT32, "cpu")


def states(model: LoadedModel) -> list[dict[str, Any]]:
    return [network.state_dict() for network in (model.unet, model.vae, *model.text_encoders)]


def same(one: LoadedModel, other: LoadedModel) -> bool:
    return all(
        ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        for ours, theirs in zip(states(one), states(other), strict=True)
    )


def test_it_is_the_whole_model(tiny_inpainter: Path) -> None:
    file = file_of(tiny_inpainter / "unet", tiny_inpainter)
    whole = FolderLoader().load(
        ModelSpec(role=Role.INPAINTER, weights=probe(tiny_inpainter)), Precision.FLOAT32, "cpu"
    )
    model = loaded(file)
    assert model.spec.weights == file
    assert same(model, whole)
    assert model.scheduler_config == whole.scheduler_config
    assert len(model.tokenizers) == 1


def test_parts_of_one_file(tiny_inpainter: Path, tiny_sd1: Path, tmp_path: Path) -> None:
    checkpoint = make_ldm_checkpoint(tiny_sd1, tmp_path / "base.safetensors")
    from_file = loaded(file_of(tiny_inpainter / "unet", checkpoint))
    from_folder = loaded(file_of(tiny_inpainter / "unet", tiny_sd1))
    assert same(from_file, from_folder)
    assert from_file.unet.config.in_channels == 9


def test_only_with_parts_is_it_accepted(tiny_inpainter: Path, tiny_sd1: Path) -> None:
    loader = UnetLoader()
    assert not loader.accepts(probe(tiny_inpainter / "unet"))
    assert not loader.accepts(probe(tiny_inpainter))
    assert loader.accepts(file_of(tiny_inpainter / "unet", tiny_sd1))


@pytest.mark.parametrize(("name", "value"), [("cross_attention_dim", 96), ("out_channels", 16)])
def test_parts_of_another_architecture(
    tiny_inpainter: Path, tiny_sd1: Path, tmp_path: Path, name: str, value: int
) -> None:
    unet = Path(shutil.copytree(tiny_inpainter / "unet", tmp_path / "unet"))
    config = json.loads((unet / "config.json").read_text())
    (unet / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(WeightsError, match=f"{unet} is a UNet with {name} {value}") as caught:
        loaded(file_of(unet, tiny_sd1))
    assert str(tiny_sd1) in str(caught.value)
