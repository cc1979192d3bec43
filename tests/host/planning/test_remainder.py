"""What nodes leave empty: found before anything is drawn, and planned to be painted."""

from __future__ import annotations

from typing import Any

import pytest
from stretto.host import InvocationRequest, NodeRequest, Plan
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.order import order


def plan_of(view: Any, *nodes: NodeRequest, **asked: Any) -> Plan:
    values = {
        "model": "own.safetensors", "size": 64, "width": 128, "height": 64, "chunking_size": 32,
        "prompt": "a room", **asked,
    }  # fmt: skip
    return build_plan(InvocationRequest(nodes=nodes, **values), view, draw=lambda: 7)


def test_the_rest_is_painted_from_the_invocations_prompt(view: Any) -> None:
    plan = plan_of(view, NodeRequest(x=96, w=64, h=64, prompt="a cat"), negative_prompt="red", strength=0.3)
    assert plan.remainder is not None
    node = plan.remainder.node
    assert (node.prompt, node.negative_prompt, node.strength, node.paints) == ("a room", "red", 1.0, True)
    assert node.bounds.to_json() == [[0, 0], [128, 64]]
    assert node.crop is None  # 75 % of the canvas and more
    assert any("leave up to 75 % of the canvas empty" in note for note in plan.notes)


def test_a_small_rest_is_drawn_by_itself(view: Any) -> None:
    covering = NodeRequest(w=200, h=60, prompt="a cat"), NodeRequest(x=40, y=60, w=216, h=68, prompt="a dog")
    asked = {"width": 256, "height": 128, "inpaint_feather": 8}
    plan = plan_of(view, *covering, NodeRequest(x=200, w=56, h=60, prompt="x"), **asked)
    assert plan.remainder is not None
    assert plan.remainder.feather_px == 4
    crop = plan.remainder.node.crop
    assert crop is not None
    assert crop.to_json() == [[0, 48], [64, 128]]
    whole = plan_of(view, *covering, crop_inpaint=False, **asked)
    assert whole.remainder is not None
    assert whole.remainder.node.crop is None


@pytest.mark.parametrize("prompt", [None, "  "])
def test_without_a_prompt_it_stays_transparent(view: Any, prompt: str | None) -> None:
    plan = plan_of(view, NodeRequest(w=64, h=64, prompt="a cat"), prompt=prompt)
    assert plan.remainder is None
    assert any("that stays transparent" in note for note in plan.notes)
    assert [type(step).__name__ for step in order(plan)] == ["Diffuse", "Paste", "Flatten", "Save"]


def test_it_is_refined_like_all_else_but_not_handed_over(view: Any) -> None:
    node = NodeRequest(w=64, h=64, prompt="a cat")
    asked = {"refiner": "own.safetensors", "crop_inpaint": False}
    plan = plan_of(view, node, **asked)
    assert plan.remainder is not None
    assert plan.remainder.node.refining is not None
    fill = order(plan)[3]
    assert fill.refine.size_px == 64  # type: ignore[union-attr]
    handed = plan_of(view, node, refiner_start=0.5, **asked)
    assert handed.remainder is not None
    assert handed.remainder.node.refining is None
    assert handed.nodes[0].refining is not None
    assert any("is not refined: refiner_start is for whole pictures" in note for note in handed.notes)


def test_an_image_that_cannot_be_read_is_a_fault(view: Any, tmp_path: Any) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"not a picture")
    image = ImageRef(path=str(path), width=64, height=64, mode="RGBA", sha256="")
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        plan_of(view, NodeRequest(image=image))
