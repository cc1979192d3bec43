from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import Family, WeightKind
from stretto.host.errors import WeightsError
from stretto.host.testing.tiny import make_ldm_checkpoint

FAMILIES = {
    "tiny_sd1": (Family.SD1, 4, "epsilon"),
    "tiny_sd2": (Family.SD2, 4, "v_prediction"),
    "tiny_sdxl": (Family.SDXL, 4, "epsilon"),
    "tiny_refiner": (Family.SDXL_REFINER, 4, "epsilon"),
    "tiny_inpainter": (Family.SD1, 9, "epsilon"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_folders_and_single_files_are_known_alike(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    single = make_ldm_checkpoint(folder, tmp_path / "model.safetensors")
    for path, kind in ((folder, WeightKind.DIFFUSERS), (single, WeightKind.CHECKPOINT)):
        file = probe(path)
        assert file.kind is kind
        assert (file.family, file.in_channels, file.prediction_type) == FAMILIES[name]
        assert file.size_px == 64
        assert file.path == str(path)
        assert file.name == path.name
        assert file.size_bytes > 1e6


@pytest.mark.parametrize(("name", "size_px"), [("tiny_sd1", 512), ("tiny_sd2", 768), ("tiny_sdxl", 1024)])
def test_without_settings_beside_it_a_file_has_its_familys_size(
    name: str, size_px: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    single = make_ldm_checkpoint(
        request.getfixturevalue(name), tmp_path / "model.safetensors", companion=False
    )
    assert probe(single).size_px == size_px


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('      parameterization: "v"', ("v_prediction", 768)),
        ("      parameterization: eps", ("epsilon", 512)),
    ],
)
def test_the_originals_yaml_says_what_sd2_predicts(
    words: str, expected: tuple[str, int], tiny_sd2: Path, tmp_path: Path
) -> None:
    single = make_ldm_checkpoint(tiny_sd2, tmp_path / "model.safetensors", companion=False)
    assert probe(single).prediction_type is None
    single.with_suffix(".yaml").write_text(f"model:\n  params:\n{words}\n")
    assert (probe(single).prediction_type, probe(single).size_px) == expected


def test_the_fingerprint_follows_the_content_and_not_the_name(tiny_sd1: Path, tmp_path: Path) -> None:
    first = make_ldm_checkpoint(tiny_sd1, tmp_path / "a.safetensors")
    shutil.copytree(tmp_path / "a.config", tmp_path / "b.config")
    second = Path(shutil.copy(first, tmp_path / "b.safetensors"))
    assert probe(first).fingerprint == probe(second).fingerprint
    with second.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x01\x02\x03\x04")
    assert probe(first).fingerprint != probe(second).fingerprint


def test_the_fingerprint_follows_the_settings_beside_it(tiny_sd1: Path, tmp_path: Path) -> None:
    file = make_ldm_checkpoint(tiny_sd1, tmp_path / "a.safetensors")
    before = probe(file).fingerprint
    unet = tmp_path / "a.config" / "unet" / "config.json"
    unet.write_text(unet.read_text().replace('"norm_num_groups": 32', '"norm_num_groups": 16'))
    assert probe(file).fingerprint != before


def test_a_folders_fingerprint_follows_its_configs(tiny_sd1: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))
    assert probe(copy).fingerprint == probe(tiny_sd1).fingerprint
    scheduler = copy / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("0.012", "0.013"))
    assert probe(copy).fingerprint != probe(tiny_sd1).fingerprint


@pytest.mark.parametrize(
    ("folder", "kind"), [("inversion", WeightKind.INVERSION), ("x", WeightKind.CHECKPOINT)]
)
def test_a_pickle_is_known_by_its_folder_and_never_opened(
    folder: str, kind: WeightKind, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "exploded").touch, ())

    file = tmp_path / folder / "bomb.pt"
    file.parent.mkdir()
    file.write_bytes(pickle.dumps(Bomb()))
    found = probe(file)
    assert found.kind is kind
    assert found.family is None
    assert not (tmp_path / "exploded").exists()


def test_torchs_zip_files_are_known_by_their_parts(tmp_path: Path) -> None:
    import torch

    for number in range(2):
        torch.save({"x": torch.full((9, 9), float(number))}, tmp_path / f"{number}.ckpt")
    assert probe(tmp_path / "0.ckpt").fingerprint != probe(tmp_path / "1.ckpt").fingerprint


def test_a_lone_vae_is_one_in_a_file_and_in_a_folder(tiny_sd1: Path, tmp_path: Path) -> None:
    weights = tiny_sd1 / "vae" / "diffusion_pytorch_model.safetensors"
    assert probe(weights).kind is WeightKind.VAE
    assert probe(tiny_sd1 / "vae").kind is WeightKind.VAE


def test_a_folder_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(WeightsError, match="FluxPipeline without a UNet"):
        probe(tmp_path)


def test_a_folder_without_weights_is_refused(tiny_sd1: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_sd1, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors")))
    with pytest.raises(WeightsError, match="holds no weights"):
        probe(copy)


def test_a_truncated_part_of_a_folder_is_named(tiny_sd1: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"unet/diffusion_pytorch_model\.safetensors"):
        probe(copy)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\udcff"])
def test_a_broken_index_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError, match=r"model_index\.json is not"):
        probe(tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(WeightsError, match="no weight file"):
        probe(tmp_path / "notes.txt")
    with pytest.raises(WeightsError, match="no model in diffusers' layout"):
        probe(tmp_path)
    (tmp_path / "empty.ckpt").touch()
    with pytest.raises(WeightsError, match="is empty"):
        probe(tmp_path / "empty.ckpt")


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("unet/config.json", {"in_channels": []}),
        ("vae/config.json", {"block_out_channels": 3}),
        ("model_index.json", {"text_encoder": 3}),
    ],
)
def test_settings_of_the_wrong_type_are_refused(
    file: str, values: dict[str, object], tiny_sdxl: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_sdxl, tmp_path / "copy"))
    config = copy / file
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))
    with pytest.raises(WeightsError, match="wrong type"):
        probe(copy)
