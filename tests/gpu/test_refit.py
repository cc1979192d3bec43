"""Weights put into a TensorRT engine on its GPU: it gives what torch gives with them, and takes the first ones back."""

from __future__ import annotations

import pytest
import torch
from stretto.host import AxisRange, Component, Precision
from stretto.host.engine.graphs import compare, network
from stretto.host.engine.parity import BOUNDS
from stretto.host.testing.full_size import random_model
from stretto.plugins.compilers import tensorrt

PROFILE = {
    "batch": AxisRange(min=1, opt=2, max=2),
    "height": AxisRange.only(64),
    "width": AxisRange.only(64),
    "tokens": AxisRange.only(77),
}


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("offer", tensorrt.OFFERS, ids=lambda offer: offer.name)
def test_an_engine_takes_other_weights_and_the_first_ones_again(offer, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("there is no NVIDIA GPU that torch can use")
    if why := offer.missing():
        pytest.skip(why)
    compiler, model = offer.build(), random_model("sd15", "cuda", torch.float16)
    target = compiler.target("cuda")
    if offer.name == "tensorrt_rtx" and target not in compiler.targets():
        pytest.skip(f"TensorRT-RTX does not list {target}")
    folders = [tmp_path / name for name in ("first", "second", "third")]
    inputs = network(model, Component.UNET, tmp_path, Precision.FLOAT16).sample(
        {"batch": 2, "height": 64, "width": 64, "tokens": 77}
    )
    weight = model.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
    kept, given = weight.clone(), []
    for place, out in enumerate(folders):
        weight.copy_(kept if place != 1 else kept * 3)
        out.mkdir()
        (tmp_path / f"graph-{place}").mkdir()
        graph = network(model, Component.UNET, tmp_path / f"graph-{place}", Precision.FLOAT16)
        if place == 0:
            compiler.build(graph, PROFILE, target, out, lambda _phase, _share: None)
        else:
            compiler.refit(graph, folders[place - 1], target, out, lambda _phase, _share: None)
        engine = compiler.open(out, graph, PROFILE, "cuda")
        with torch.inference_mode():
            report = compare(graph.module()(*inputs.values()), engine(inputs), BOUNDS[graph.precision])
            given.append(engine(inputs)[0].clone())
        engine.close()
        assert report.passed, report
    assert not torch.equal(given[0], given[1])
    assert torch.allclose(given[0], given[2], atol=1e-2)
