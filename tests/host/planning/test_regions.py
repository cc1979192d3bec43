"""`region_mode` "latent": one node over the canvas, and what is not for it."""

from typing import Any

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest, Plan
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.plan import Bounds
from stretto.host.contracts.request import NodeRequest
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.order import order

IMAGE = ImageRef(path="/inputs/a.png", width=200, height=120, mode="RGB", sha256="a")
CAT = NodeRequest(x=0, y=0, w=512, h=512, prompt="a cat")
DOG = NodeRequest(x=512, w=512, h=512, prompt="a dog", guidance_scale=3.0, negative_prompt="a fox")


def plan_of(view: Any, *nodes: NodeRequest, **asked: Any) -> Plan:
    known = {"model": "sd1.safetensors", "width": 1024, "height": 512, "region_mode": "latent", "seed": 7}
    return build_plan(InvocationRequest(nodes=nodes, **{**known, **asked}), view)


def faults_of(view: Any, *nodes: NodeRequest, **asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, *nodes, **asked)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_regions_are_parts_of_one_node(view: Any) -> None:
    plan = plan_of(
        view,
        CAT,
        DOG,
        prompt="a field",
        negative_prompt="rain",
        model_prompt="oil",
        model_negative_prompt="fog",
    )
    (node,) = plan.nodes
    assert (node.bounds, node.prompt) == (Bounds(left=0, top=0, right=1024, bottom=512), "a field, oil")
    cat, dog = node.regions
    assert (cat.bounds, dog.bounds.to_json()) == (
        Bounds(left=0, top=0, right=512, bottom=512), [[512, 0], [1024, 512]],
    )  # fmt: skip
    assert (cat.prompt, cat.negative_prompt, cat.guidance_scale) == ("a cat, oil", "rain, fog", 7.0)
    assert (dog.prompt, dog.negative_prompt, dog.guidance_scale) == ("a dog, oil", "a fox, rain, fog", 3.0)
    assert plan.region_mode == "latent"
    assert plan.remainder is None
    assert [type(step).__name__ for step in order(plan)] == ["Diffuse", "Save"]


def test_the_plan_reads_back(view: Any) -> None:
    plan = plan_of(view, CAT, DOG, prompt="a field")
    assert plan_from_json(plan.to_json()) == plan
    recorded = plan.to_json()["nodes"][0]["children"]
    assert [(one["prompt"], one["bounds"]) for one in recorded] == [
        ("a cat", [[0, 0], [512, 512]]),
        ("a dog", [[512, 0], [1024, 512]]),
    ]


def test_windows_of_all_regions_count(view: Any) -> None:
    both = plan_of(view, CAT, DOG, intermediates=False, num_inference_steps=10)
    assert progress_ticks(both) == 2 * 11
    assert not any("no words" in note for note in both.notes)
    # eight windows of 512 px, 64 apart, see something right of the left half; the ninth does not
    left = plan_of(view, CAT, intermediates=False, num_inference_steps=10)
    assert progress_ticks(left) == (1 + 8) * 11
    assert any("no prompt for what none covers" in note for note in left.notes)
    assert not any("none covers" in note for note in plan_of(view, CAT, prompt="a field").notes)


def test_regions_are_cut_at_the_canvas(view: Any) -> None:
    far = NodeRequest(x=2000, y=0, w=64, h=64, prompt="a sun")
    over = NodeRequest(x=900, y=-20, w=512, h=100, prompt="a sun")
    plan = plan_of(view, CAT, over, far)
    assert plan.nodes[0].regions[1].bounds.to_json() == [[900, 0], [1024, 80]]
    assert len(plan.nodes[0].regions) == 2
    assert any("nodes[2]" in note and "outside" in note for note in plan.notes)
    assert [note[:8] for note in plan.notes if "smaller than the 512 px" in note] == ["nodes[1]"]
    assert "outside" in faults_of(view, far)["nodes"]


def test_what_is_not_for_regions_is_named(view: Any) -> None:
    nodes = (
        NodeRequest(x=0, w=64, h=64, prompt="a cat", image=IMAGE, strength=0.5, remove_background=True),
        NodeRequest(x=0, h=64, prompt=" ", seed=3, num_inference_steps=5),
        NodeRequest(x=0, w=64, h=64, prompt="a cat", controlnet="canny", scale_to_model_size=False),
    )
    faults = faults_of(view, *nodes, scale_to_model_size=True)
    assert sorted(faults) == [
        "nodes[0].image", "nodes[0].remove_background", "nodes[0].strength",
        "nodes[1].num_inference_steps", "nodes[1].prompt", "nodes[1].seed",
        "nodes[2].controlnet", "nodes[2].scale_to_model_size", "scale_to_model_size",
    ]  # fmt: skip
    assert 'set region_mode to "paste"' in faults["nodes[0].image"]
    assert "nodes[0].w" in faults_of(view, NodeRequest(h=64, prompt="a cat"))


def test_too_many_windows_are_a_fault(view: Any) -> None:
    wide = {"width": 16384, "height": 8192, "chunking_size": 8}
    assert "chunking_size" in faults_of(view, NodeRequest(w=16384, h=8192, prompt="a cat"), **wide)
