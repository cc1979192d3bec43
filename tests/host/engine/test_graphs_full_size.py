"""Networks of the real size as ONNX: time, memory, and what torch gives. Run by hand, with `-m slow -s`."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import pytest
import torch
from stretto.host import Component, Family, ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.components import settle
from stretto.host.engine.graphs import check, network
from stretto.plugins.loaders import single

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SIZES = (
    {"batch": 1, "height": 16, "width": 16, "tokens": 77},
    {"batch": 2, "height": 24, "width": 9, "tokens": 77},
)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    def made(kind, part):
        path = single.CONFIGS / Family.SD1.value / part / "config.json"
        with torch.device("meta"):
            built = kind.from_config(json.loads(path.read_text()))
        built.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(0)
        row = torch.randn(2**20, generator=generator)
        for name, weight in built.named_parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 1
            spread = fan_in**-0.5 if weight.ndim > 1 else 0.05
            drawn = row.repeat(-(-weight.numel() // row.numel()))[: weight.numel()].reshape(weight.shape)
            is_scale = weight.ndim == 1 and name.endswith("weight")
            weight.data.copy_(1 + drawn * spread if is_scale else drawn * spread)
        return built

    weights = WeightFile(path="random", kind=WeightKind.DIFFUSERS, family=Family.SD1)
    nothing = {"text_encoders": (), "tokenizers": (), "scheduler_config": {}, "options": {}}
    return settle(
        LoadedModel(
            spec=ModelSpec(role=Role.BASE, weights=weights),
            unet=made(UNet2DConditionModel, "unet"),
            vae=made(AutoencoderKL, "vae"),
            **nothing,
        )
    )


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.FLOAT32])
@pytest.mark.parametrize("component", [Component.VAE_DECODER, Component.VAE_ENCODER, Component.UNET])
def test_full_size(model: LoadedModel, component: Component, precision: Precision, tmp_path: Path) -> None:
    graph = network(model, component, tmp_path, precision)
    began = time.perf_counter(), time.process_time()
    graph.onnx()
    took = time.perf_counter() - began[0], time.process_time() - began[1]
    size_gb = sum(file.stat().st_size for file in tmp_path.iterdir()) / 1e9
    report = check(graph, SIZES)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    sys.stdout.write(
        f"\n| {component} | {precision} | {took[0]:.0f} s ({took[1]:.0f} s of CPU) | {peak_gb:.1f} GB "
        f"| {size_gb:.2f} GB | {report.max_error:.1e} | {report.cosine:.6f} |\n"
    )
    assert report.passed, report.why
    assert len(list(tmp_path.iterdir())) == (2 if component is Component.UNET else 1)
