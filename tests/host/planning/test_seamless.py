"""`tile` and `noise_offset` from a request into the plan, and what is not seamless."""

from typing import Any

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest, Plan
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import progress_ticks


def plan_of(view: Any, **asked: Any) -> Plan:
    known = {"prompt": "a cat", "model": "sd1.safetensors", "seed": 7}
    return build_plan(InvocationRequest(**{**known, **asked}), view)


def test_both_are_in_the_plan_which_reads_back(view: Any) -> None:
    plan = plan_of(view, tile=(True, False), noise_offset=0.1)
    assert (plan.tile, plan.noise_offset) == ((True, False), 0.1)
    assert plan_from_json(plan.to_json()) == plan
    plain = plan_of(view).to_json()["resolved"]
    assert (tuple(plain["tile"]), plain["noise_offset"]) == ((False, False), 0.0)
    older = {
        name: value for name, value in plain.items() if name not in ("tile", "noise_offset", "region_mode")
    }
    assert plan_from_json(older) == plan_of(view)


@pytest.mark.parametrize(
    ("tile", "rows", "columns"), [((False, False), 3, 9), ((True, False), 3, 16), ((True, True), 10, 16)]
)
def test_windows_that_wrap_are_more(view: Any, tile: tuple[bool, bool], rows: int, columns: int) -> None:
    plan = plan_of(
        view, tile=tile, width=1024, height=640, chunking_size=64, num_inference_steps=1, intermediates=False
    )
    assert progress_ticks(plan) == rows * columns * 2
    assert plan.chunking(plan.nodes[0]).tile == tile


def test_borders_inside_of_a_cell_cannot_be_seamless(view: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, tile=(True, True), width=100, height=60, scale_to_model_size=True)
    faults = {fault.field: fault.message for fault in caught.value.faults}
    assert sorted(faults) == ["height", "scale_to_model_size", "width"]
    assert faults["width"].endswith("give 96 or 104")
    assert plan_of(view, tile=(True, False), width=96, height=60).height == 60
