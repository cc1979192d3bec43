"""An inpainting model that is named as the model."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from stretto.host import InvocationRequest, Plan, Role
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.order import order


@pytest.fixture
def masked(tmp_path: Any) -> dict[str, Any]:
    refs = {}
    for name, mode in (("image", "RGB"), ("mask", "L")):
        Image.new(mode, (64, 64), "white").save(tmp_path / f"{name}.png")
        refs[name] = ImageRef(path=str(tmp_path / f"{name}.png"), width=64, height=64, mode=mode, sha256="")
    return refs


def plan_of(view: Any, **asked: Any) -> Plan:
    return build_plan(InvocationRequest(**{"prompt": "a cat", "model": "fill.safetensors", **asked}), view)


def faults_of(view: Any, **asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, **asked)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_it_fills_masks_and_empty_canvas(view: Any, masked: Any) -> None:
    for asked in (masked, {"image": masked["image"], "width": 96}):
        plan = plan_of(view, **asked)
        (model,) = {step.model for step in order(plan) if hasattr(step, "model")}
        assert (model.role, model.weights.name) == (Role.INPAINTER, "fill.safetensors")
        assert plan.inpainter == plan.model
        assert not any("inpainter" in note for note in plan.notes)


def test_another_inpainter_goes_before_it(view: Any, masked: Any) -> None:
    plan = plan_of(view, inpainter="own.safetensors", **masked)
    assert order(plan)[0].model.weights.name == "own.safetensors"


def test_it_draws_nothing_else(view: Any, masked: Any) -> None:
    for asked in ({}, {"image": masked["image"]}):
        assert faults_of(view, **asked)["model"].startswith(
            "'fill.safetensors' is an inpainting model, which only"
        )
    over = {"outscale": 2, "upscale": ("lanczos",), "upscale_diffusion": True}
    assert "name a refiner that can" in faults_of(view, **masked, **over)["upscale_diffusion"]
    assert plan_of(view, **masked, **over, refiner="own.safetensors").upscale
