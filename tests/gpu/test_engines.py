"""Every compiler on a real GPU: engines of full-size networks give what torch gives, and are called again and again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stretto.host import AxisRange, Component, Precision
from stretto.host.engine.graphs import compare, network
from stretto.host.engine.parity import BOUNDS
from stretto.host.testing.full_size import SIZES_PX, random_model
from stretto.plugins.compilers import onnxruntime, tensorrt, torch_compile

OFFERS = {offer.name: offer for offer in (*onnxruntime.OFFERS, *tensorrt.OFFERS, *torch_compile.OFFERS)}
NO_GPU = "there is no NVIDIA GPU that torch can use"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=sorted(SIZES_PX))
def model(request):
    if not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    return random_model(request.param, "cuda", torch.float16)


def compiled(name, graph, profile, folder):
    """Build and open, or skip with the compiler's own reason."""
    offer = OFFERS[name]
    if why := offer.missing():
        pytest.skip(why)
    compiler = offer.build()
    target = compiler.target("cuda")
    if why := compiler.unable(target, "cuda"):
        pytest.skip(why)
    if name == "tensorrt_rtx" and target not in compiler.targets():
        pytest.skip(f"TensorRT-RTX does not list {target}")
    compiler.build(graph, profile, target, folder, lambda _phase, _share: None)
    return compiler.open(folder, graph, profile, "cuda")


def agrees(engine, graph, lengths, seed):
    inputs = graph.sample(lengths, seed)
    with torch.inference_mode():
        expected = graph.module()(*inputs.values())
        report = compare(expected, engine(inputs), BOUNDS[graph.precision])
    assert report.passed, report


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(OFFERS))
@pytest.mark.parametrize("component", [Component.UNET, Component.VAE_DECODER])
def test_an_engine_of_one_size_gives_what_torch_gives(model, name, component, tmp_path):
    """The third call of a batch is a graph's replay, where a compiler has graphs."""
    cells = AxisRange.only(SIZES_PX[model.spec.weights.name] // 8)
    profile = {
        "batch": AxisRange(min=1, opt=2, max=4),
        "height": cells,
        "width": cells,
        "tokens": AxisRange.only(77),
    }
    graph = network(model, component, tmp_path / "graph", Precision.FLOAT16)
    (tmp_path / "engine").mkdir()
    engine = compiled(name, graph, profile, tmp_path / "engine")
    try:
        for seed, batch in enumerate((2, 2, 2, 1, 1, 1, 4, 2)):
            lengths = {name: span.opt for name, span in profile.items()} | {"batch": batch}
            agrees(engine, graph, lengths, seed)
    finally:
        engine.close()


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(OFFERS))
def test_an_engine_of_a_range_gives_what_torch_gives(name, tmp_path):
    model = random_model("sd15", "cuda", torch.float16)
    side = AxisRange(min=32, opt=64, max=96)
    tokens = AxisRange(min=77, opt=77, max=154)
    profile = {"batch": AxisRange(min=1, opt=2, max=4), "height": side, "width": side, "tokens": tokens}
    graph = network(model, Component.UNET, tmp_path / "graph", Precision.FLOAT16)
    (tmp_path / "engine").mkdir()
    engine = compiled(name, graph, profile, tmp_path / "engine")
    try:
        for seed, (batch, height, width, told) in enumerate(
            ((2, 64, 64, 77), (1, 32, 96, 154), (2, 41, 64, 77))
        ):
            agrees(engine, graph, {"batch": batch, "height": height, "width": width, "tokens": told}, seed)
    finally:
        engine.close()


def test_without_a_gpu_the_benchmark_ends_with_one_sentence():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("There is no NVIDIA GPU that torch can use here;")
    assert "Traceback" not in said.stderr
