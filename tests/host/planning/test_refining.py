"""Which model refines, at what size, and when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from stretto.host import InvocationRequest, Plan, Role
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.refining import Refining
from stretto.host.contracts.steps import Refine
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.order import order


def plan_of(view: Any, **asked: Any) -> Plan:
    request = InvocationRequest(
        **{"prompt": "a cat", "model": "xl.safetensors", "refiner": "refiner.safetensors", **asked}
    )
    return build_plan(request, view, draw=lambda: 7)


@pytest.fixture
def image(tmp_path: Any) -> ImageRef:
    Image.new("RGB", (64, 64)).save(tmp_path / "image.png")
    return ImageRef(path=str(tmp_path / "image.png"), width=64, height=64, mode="RGB", sha256="")


def test_the_contracts_defaults(view: Any) -> None:
    plan = plan_of(view)
    (step,) = [step for step in order(plan) if isinstance(step, Refine)]
    assert (step.model.role, step.model.weights.name) == (Role.REFINER, "refiner.safetensors")
    assert step.size_px == plan.refiner_size == 1024
    assert step.refining == Refining(
        strength=0.3, guidance_scale=5.0, aesthetic_score=6.0, negative_aesthetic_score=2.5
    )
    stored = plan.to_json()
    assert (stored["refiner"], stored["refiner_size"]) == ("refiner.safetensors", 1024)
    (node,) = stored["nodes"]
    assert (node["refiner_strength"], node["refiner_guidance_scale"]) == (0.3, 5.0)
    assert (node["refiner_aesthetic_score"], node["refiner_negative_aesthetic_score"]) == (6.0, 2.5)


def test_nothing_is_refined_without_a_refiner(view: Any) -> None:
    plan = plan_of(view, refiner=None, refiner_start=0.8)
    assert not any(isinstance(step, Refine) for step in order(plan))
    assert plan.to_json()["nodes"][0]["refiner_strength"] is None
    assert "nothing is refined: no refiner was named" in plan.notes


def test_sizes(view: Any) -> None:
    assert plan_of(view, size=768).refiner_size == 768
    assert plan_of(view, size=768, refiner_size=1020).refiner_size == 1024
    assert plan_of(view, refiner="sd1.safetensors").refiner_size == 512  # its own: it is of another family
    assert Refining.enlarged(512, 300, 600) == (1024, 600)
    assert Refining.enlarged(1200, 600, 600) == (1200, 600)


@pytest.mark.parametrize(("strength", "steps"), [(0.0, 40), (0.2, 4)])
def test_a_strength_without_a_step_refines_nothing(view: Any, strength: float, steps: int) -> None:
    plan = plan_of(view, refiner_strength=strength, num_inference_steps=steps)
    assert not any(isinstance(step, Refine) for step in order(plan))
    assert any(note.startswith("not refined: ") for note in plan.notes)


def test_ticks(view: Any) -> None:
    assert progress_ticks(plan_of(view, samples=2)) == 45 + 2 * (12 + 2)
    assert progress_ticks(plan_of(view, samples=2, refiner_start=0.8)) == 45


def test_latents_are_handed_over_only_where_they_are_the_same(view: Any) -> None:
    (diffuse, refine, _) = order(plan_of(view, refiner_start=0.8))
    assert (diffuse.node.parted_at, refine.refining.start) == (0.8, 0.8)
    with pytest.raises(InvalidRequestError, match="refiner_start: sd1 and sdxl models draw in different"):
        plan_of(view, refiner="sd1.safetensors", refiner_start=0.8)


def test_a_start_must_leave_both_something_to_do(view: Any, image: ImageRef) -> None:
    with pytest.raises(InvalidRequestError, match="refiner_start: 0 leaves the base model nothing to do"):
        plan_of(view, refiner_start=0.0)
    with pytest.raises(InvalidRequestError, match=r"give more than 0\.5"):
        plan_of(view, refiner_start=0.4, image=image, strength=0.5)
    plan = plan_of(view, refiner_start=1.0)
    assert plan.nodes[0].refining is None
    assert "refiner_start 1 leaves the refiner nothing to do" in plan.notes


def test_a_mask_is_not_handed_over(view: Any, image: ImageRef) -> None:
    with pytest.raises(InvalidRequestError, match="refiner_start: hands whole pictures over"):
        plan_of(view, refiner_start=0.8, image=image, mask=replace(image))


def test_what_cannot_refine(view: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"refiner: 'fill\.safetensors' takes 9 input channels"):
        plan_of(view, refiner="fill.safetensors")
    with pytest.raises(InvalidRequestError, match="refiner: "):
        plan_of(view, refiner="gone.safetensors")


def test_a_refiner_draws_enlarged_pictures_over(view: Any) -> None:
    plan = plan_of(view, upscale=("lanczos",), outscale=2, upscale_diffusion=True)
    assert [step.model.role for step in order(plan) if hasattr(step, "settings")] == [Role.REFINER]
