"""Every kind of network by every compiler, and whole pictures: what engines give is what torch gives."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from stretto.host import AxisRange, Component, Precision
from stretto.host.contracts.acceleration import Build
from stretto.host.contracts.request import InvocationRequest
from stretto.host.engine.components import settle
from stretto.host.engine.graphs import compare, network
from stretto.host.engine.parity import BOUNDS
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.full_size import SIZES_PX, random_model
from stretto.plugins.compilers import onnxruntime, tensorrt, torch_compile

OFFERS = {offer.name: offer for offer in (*onnxruntime.OFFERS, *tensorrt.OFFERS, *torch_compile.OFFERS)}
TINY_PX = 64
# Kind of model, channels of its UNet, and the network; UNet and VAE decoder are in test_engines.py.
CASES = [
    ("sd15", 4, Component.CONTROLLED_UNET),
    ("sd15", 4, Component.VAE_ENCODER),
    ("sd15", 9, Component.UNET),
    ("sd15", 4, Component.TEXT_ENCODER),
    ("sdxl", 4, Component.UNET),
    ("sdxl", 4, Component.CONTROLLED_UNET),
    ("sdxl", 4, Component.TEXT_ENCODER_2),
]


def opened(name, kind, channels, component, device, folder):
    """Give an engine of one size with its graph and lengths, or skip with the compiler's own reason."""
    offer = OFFERS[name]
    if why := offer.missing():
        pytest.skip(why)
    compiler = offer.build()
    target = compiler.target(device)
    if why := compiler.unable(target, device):
        pytest.skip(why)
    if name == "tensorrt_rtx" and target not in compiler.targets():
        pytest.skip(f"TensorRT-RTX does not list {target}")
    tiny = device == "cpu"
    dtype, precision = (torch.float32, Precision.FLOAT32) if tiny else (torch.float16, Precision.FLOAT16)
    model = settle(random_model(kind, device, dtype, tiny=tiny, channels=channels, texts=True))
    cells = (TINY_PX if tiny else SIZES_PX[kind]) // 8
    graph = network(model, component, folder / "graph", precision)
    lengths = {"batch": 2, "height": cells, "width": cells, "tokens": 77}
    profile = {name: AxisRange.only(length) for name, length in lengths.items()}
    (folder / "engine").mkdir()
    compiler.build(graph, profile, target, folder / "engine", lambda _phase, _share: None)
    return compiler.open(folder / "engine", graph, profile, device), graph, lengths


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(OFFERS))
@pytest.mark.parametrize(("kind", "channels", "component"), CASES)
def test_calls_again_and_again_give_what_torch_gives_of_each_input(
    name, kind, channels, component, device, tmp_path
):
    """From the third call on a size is replayed as a CUDA graph: other inputs must give other outputs still."""
    engine, graph, lengths = opened(name, kind, channels, component, device, tmp_path)
    given = []
    try:
        for seed in range(5):
            inputs = graph.sample(lengths, seed)
            with torch.inference_mode():
                expected = graph.module()(*inputs.values())
                made = engine(inputs)
            report = compare(expected, made, BOUNDS[graph.precision])
            assert report.passed, (seed, report)
            given.append(made[0].clone())
    finally:
        engine.close()
    for seed, (one, next_one) in enumerate(pairwise(given)):
        assert not torch.equal(one, next_one), seed


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(OFFERS))
def test_a_whole_job_is_drawn_by_the_engines_and_its_record_says_so(name, device, tmp_path):
    offer = OFFERS[name]
    if why := offer.missing():
        pytest.skip(why)
    compiler = offer.build()
    target = compiler.target(device)
    if why := compiler.unable(target, device):
        pytest.skip(why)
    if name == "tensorrt_rtx" and target not in compiler.targets():
        pytest.skip(f"TensorRT-RTX does not list {target}")
    precision = "float32" if device == "cpu" else "float16"
    with Host.open(Folders(tmp_path), Settings(precision=precision)) as host:
        plan = host.plan(InvocationRequest(prompt="a blue star", seed=1, acceleration=name))
        wanted = [one for one in (Component.UNET, Component.VAE_DECODER) if one in offer.components]
        builds = tuple(Build(component=component, compiler=name) for component in wanted)
        host.run_here(replace(plan, builds=builds))
        record = host.run_here(plan).acceleration
    assert record is not None
    assert record.requested == name
    assert set(record.used) == {str(component) for component in wanted}, record.why
