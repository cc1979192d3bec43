from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from stretto.host import Precision
from stretto.host.catalog.probe import probe
from stretto.host.errors import WeightsError
from stretto.host.testing.layout import original_vae
from stretto.plugins.loaders.lone import load_vae
from stretto.plugins.loaders.networks import Target

TARGET = Target(precision=Precision.FLOAT32, device="cpu", path=Path("model"))


def own(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors.torch import load_file

    config = json.loads((folder / "vae" / "config.json").read_text())
    return config, load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("prefix", [None, "", "first_stage_model."])
def test_reads_every_layout(prefix: str | None, tiny_sdxl: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    config, tensors = own(tiny_sdxl)
    written = tensors
    if prefix is not None:
        written = {prefix + key: value.contiguous() for key, value in original_vae(tensors, 4).items()}
        written[prefix + "loss.logvar"] = torch.zeros(1)
    save_file(written, tmp_path / "vae.safetensors")
    vae = load_vae(probe(tmp_path / "vae.safetensors"), config, TARGET)
    found = vae.state_dict()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], value) for key, value in tensors.items())
    assert vae.config.scaling_factor == 0.13025


def test_a_pickled_vae_in_its_folder(tiny_sd1: Path, tmp_path: Path) -> None:
    import torch

    config, tensors = own(tiny_sd1)
    (tmp_path / "vae").mkdir()
    torch.save({"state_dict": original_vae(tensors, 4)}, tmp_path / "vae" / "ema.ckpt")
    vae = load_vae(probe(tmp_path / "vae" / "ema.ckpt"), config, TARGET)
    assert torch.equal(vae.state_dict()["encoder.conv_in.weight"], tensors["encoder.conv_in.weight"])


def test_a_folder_has_settings_of_its_own(tiny_sd1: Path, tmp_path: Path) -> None:
    config, _ = own(tiny_sd1)
    folder = Path(shutil.copytree(tiny_sd1 / "vae", tmp_path / "vae"))
    (folder / "config.json").write_text(json.dumps({**config, "scaling_factor": 0.5}))
    assert load_vae(probe(folder), config, TARGET).config.scaling_factor == 0.5


def test_settings_beside_a_file_count_more_than_the_models(tiny_sdxl: Path, tmp_path: Path) -> None:
    import torch

    config, _ = own(tiny_sdxl)
    file = Path(
        shutil.copy(tiny_sdxl / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "v.safetensors")
    )
    half = Target(precision=Precision.FLOAT16, device="cpu", path=Path("model"))
    assert load_vae(probe(file), config, half).dtype == torch.float32
    (tmp_path / "v.config").mkdir()
    (tmp_path / "v.config" / "config.json").write_text('{"force_upcast": false}')
    assert load_vae(probe(file), config, half).dtype == torch.float16


def test_half_a_vae_is_refused(tiny_sd1: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    config, tensors = own(tiny_sd1)
    save_file({k: v for k, v in tensors.items() if k.startswith("decoder.")}, tmp_path / "v.safetensors")
    with pytest.raises(WeightsError, match="no VAE with an encoder and a decoder"):
        load_vae(probe(tmp_path / "v.safetensors"), config, TARGET)
