"""Nodes on one canvas equal diffusers' pictures pasted side by side: at most 1/255 off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from stretto.host.contracts.plan import Bounds
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import Save
from stretto.host.planning.order import order
from stretto.host.steps.dispatch import CoreSteps

from .conftest import difference


@pytest.mark.parametrize(("model", "scheduler"), [("tiny_sd1", "eads"), ("tiny_sdxl", "ddim")])
def test_a_prompt_beside_an_image(pairs: Any, picture: Any, model: str, scheduler: str) -> None:
    pair = pairs(model)
    bench = pair.ours.bench(scheduler=scheduler, seed=7)
    (node,) = bench.plan.nodes
    beside = replace(
        node,
        bounds=Bounds(left=64, top=0, right=128, bottom=64),
        prompt="a blue star",
        image=picture.ref,
        strength=0.5,
        seed_offset=1000,
    )
    bench.plan = replace(bench.plan, width=128, nodes=(node, beside))
    frame = Frame()
    for step in order(bench.plan):
        if not isinstance(step, Save):
            frame = CoreSteps().run_step(step, frame, bench)
    (left,) = pair.theirs.draw(scheduler, seed=7)
    (right,) = pair.theirs.draw(scheduler, seed=1007, prompt="a blue star", image=picture.image, strength=0.5)
    whole = Image.new("RGB", (128, 64))
    whole.paste(left, (0, 0))
    whole.paste(right, (64, 0))
    assert difference(frame.images, [whole]) <= 1
