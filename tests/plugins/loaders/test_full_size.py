"""Random checkpoints of the real sizes (2 and 7 GB): that nothing depends on a model being tiny."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stretto.host import Family, ModelSpec, Precision, Role
from stretto.host.catalog.probe import probe
from stretto.host.testing.layout import original_clip, original_open_clip, original_unet, original_vae
from stretto.plugins.loaders import single
from stretto.plugins.loaders.single import SingleFileLoader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def config(family: Family, part: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((single.CONFIGS / family.value / part / "config.json").read_text())
    return values


def filled(make: Any) -> dict[str, Any]:
    """Give random float16 tensors for a network that is never filled itself."""
    import torch

    with torch.device("meta"):
        names = make().state_dict()
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(2**20, generator=generator).half() * 0.02
    return {
        key: row.repeat(-(-value.numel() // row.numel()))[: value.numel()].reshape(value.shape).contiguous()
        for key, value in names.items()
    }


def write(family: Family, path: Path) -> Path:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    unet = config(family, "unet")
    first = filled(lambda: CLIPTextModel(CLIPTextConfig(**config(family, "text_encoder"))))
    groups = {
        "model.diffusion_model.": original_unet(filled(lambda: UNet2DConditionModel.from_config(unet)), unet),
        "first_stage_model.": original_vae(
            filled(lambda: AutoencoderKL.from_config(config(family, "vae"))), 4
        ),
    }
    if family is Family.SDXL:
        settings = CLIPTextConfig(**config(family, "text_encoder_2"))
        second = filled(lambda: CLIPTextModelWithProjection(settings))
        groups["conditioner.embedders.0.transformer."] = original_clip(first)
        groups["conditioner.embedders.1.model."] = original_open_clip(second, spare_layer=False)
    elif family is Family.SD2:
        groups["cond_stage_model.model."] = original_open_clip(first, spare_layer=True)
    else:
        groups["cond_stage_model.transformer."] = original_clip(first)
    tensors = {prefix + key: value for prefix, group in groups.items() for key, value in group.items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path


@pytest.mark.parametrize(
    ("family", "unet_millions", "text_millions"),
    [(Family.SD1, 860, [123]), (Family.SD2, 866, [340]), (Family.SDXL, 2567, [123, 695])],
)
def test_loads_with_nothing_beside_it(
    family: Family, unet_millions: int, text_millions: list[int], tmp_path: Path
) -> None:
    path = write(family, tmp_path / "model.safetensors")
    file = probe(path)
    assert file.family is family
    if family is Family.SD2:
        path.with_suffix(".yaml").write_text("parameterization: v\n")
        file = probe(path)
    model = SingleFileLoader().load(ModelSpec(role=Role.BASE, weights=file), Precision.BFLOAT16, "cpu")

    def millions(network: Any) -> int:
        return round(sum(parameter.numel() for parameter in network.parameters()) / 1e6)

    assert millions(model.unet) == unet_millions
    assert [millions(encoder) for encoder in model.text_encoders] == text_millions
    for part, network in (("unet", model.unet), ("vae", model.vae)):
        expected = {key: value for key, value in config(family, part).items() if not key.startswith("_")}
        found = {key: network.config[key] for key in expected}
        if part == "unet" and "transformer_layers_per_block" not in expected:
            assert network.config.transformer_layers_per_block == [1, 1, 1, 1]
        assert found == expected
    assert all(len(tokenizer) == 49408 for tokenizer in model.tokenizers)
    path.unlink()


# Draws in a process of its own, whose peak is the job's.
DRAWING = """
import socket, sys, time
from pathlib import Path

def refused(*_):
    raise OSError("no network in this test")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused

from stretto.host import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

asked = InvocationRequest(
    prompt="a cat", model="model.safetensors", width=256, height=256, num_inference_steps=2, seed=1,
    intermediates=False, precision=sys.argv[2],
)
began = time.monotonic()
with Host.open(Folders(Path(sys.argv[1])), Settings()) as host:
    done = host.run_here(host.plan(asked), lambda _: None)
    # this program's alone: getrusage begins at the peak of what started it
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_gb = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**20
    print(f"{host.folders.images / done.images[0]}|peak {peak_gb:.2f} GiB, {time.monotonic() - began:.0f} s")
"""


@pytest.mark.parametrize(("family", "precision"), [(Family.SD1, "float32"), (Family.SDXL, "bfloat16")])
def test_draws_offline(
    family: Family, precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The peak counts the checkpoint's pages, which are mapped and can be let go of, beside the networks."""
    folder = tmp_path / "models" / "checkpoint"
    folder.mkdir(parents=True)
    path = write(family, folder / "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", DRAWING, str(tmp_path), precision], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    picture, told = done.stdout.strip().splitlines()[-1].split("|")
    size_gb = path.stat().st_size / 2**30
    with capsys.disabled():
        sys.stdout.write(f"\n{family}, one file of {size_gb:.2f} GiB, {precision}, 256 px, 2 steps: {told}\n")
    with Image.open(picture) as image:
        assert image.size == (256, 256)
    path.unlink()
