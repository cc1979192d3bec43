from typing import Any

import pytest
from stretto.host import InvocationRequest, Plan
from stretto.host.contracts.images import ImageRef
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import chunk_count, progress_ticks, scheduled_steps

IMAGE = ImageRef(path="/inputs/a.png", width=512, height=512, mode="RGB", sha256="a")


def plan_of(view: Any, **asked: Any) -> Plan:
    return build_plan(
        InvocationRequest(**{"prompt": "x", "model": "sd1.safetensors", "seed": 1, **asked}), view
    )


@pytest.mark.parametrize(
    ("asked", "ticks"),
    [
        ({}, 45),  # the contract's example: 40 steps, one decode, four intermediates
        ({"intermediates": False}, 41),
        ({"image_callback_steps": 7}, 46),
        ({"num_inference_steps": 9}, 10),
        ({"image": IMAGE}, 32 + 1 + 1 + 3),
        ({"image": IMAGE, "strength": 0.0}, 2),
        ({"image": IMAGE, "strength": 1.0}, 46),
        ({"width": 1024, "height": 1024}, 81 * 45),
        ({"width": 1024, "height": 1024, "chunking_size": 0}, 45),
        ({"width": 513}, 2 * 45),
        ({"width": 256, "height": 1024}, 45),
    ],
)
def test_ticks(view: Any, asked: dict[str, Any], ticks: int) -> None:
    assert progress_ticks(plan_of(view, **asked)) == ticks


def test_a_schedulers_own_number_of_calls_replaces_the_steps(view: Any) -> None:
    assert progress_ticks(plan_of(view), unet_calls=79) == 79 + 1 + 7
    assert progress_ticks(plan_of(view, image=IMAGE), unet_calls=10) == 10 + 1 + 1 + 1


def test_steps_of_an_image_are_the_share_that_is_redrawn(view: Any) -> None:
    (node,) = plan_of(view, image=IMAGE, strength=0.29, num_inference_steps=100).nodes
    assert scheduled_steps(node) == int(100 * 0.29)


def test_chunks_are_counted_on_the_rounded_canvas(view: Any) -> None:
    plan = plan_of(view, width=513, height=512)
    assert chunk_count(plan, plan.nodes[0]) == 2
