"""Which model fills masks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest, Plan, Role, WeightFile, WeightKind
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import Adapter, NodeRequest
from stretto.host.errors import InvalidRequestError, WeightsError
from stretto.host.planning.build import build_plan
from stretto.host.planning.inpainters import find_beside
from stretto.host.planning.masks import Voice
from stretto.host.planning.order import order
from stretto.host.planning.replay import found_again


@pytest.fixture
def masked(tmp_path: Any) -> dict[str, ImageRef]:
    """Give an image and a mask that is white."""
    refs = {}
    for name, image in (("image", Image.new("RGB", (64, 64))), ("mask", Image.new("L", (64, 64), 255))):
        image.save(tmp_path / f"{name}.png")
        refs[name] = ImageRef(
            path=str(tmp_path / f"{name}.png"), width=64, height=64, mode=image.mode, sha256=""
        )
    return refs


def plan_of(view: Any, **asked: Any) -> Plan:
    request = InvocationRequest(**{"prompt": "a cat", "model": "sd1.safetensors", **asked})
    return build_plan(request, view, draw=lambda: 7)


def test_the_base_fills_masks_where_nobody_else_was_named(view: Any, masked: Any) -> None:
    plan = plan_of(view, **masked)
    assert (plan.inpainter, plan.inpainter_size) == (None, None)
    assert order(plan)[0].model == plan.base()
    assert any(note.startswith("no inpainter was named, so the base model fills") for note in plan.notes)


@pytest.mark.parametrize("name", ["fill.safetensors", "own.safetensors"])
def test_an_inpainter_is_loaded_instead_of_the_base(view: Any, masked: Any, name: str) -> None:
    plan = plan_of(view, inpainter=name, **masked)
    spec = order(plan)[0].model
    assert (spec.role, spec.weights.name) == (Role.INPAINTER, name)
    assert plan.inpainter_size == 512  # the request's size, for one family
    assert not any("inpainter" in note for note in plan.notes)


def test_an_inpainter_of_another_family_has_its_own_size_and_vae(view: Any, masked: Any) -> None:
    plan = plan_of(view, model="xl.safetensors", vae="xl", inpainter="fill.safetensors", **masked)
    assert (plan.size, plan.inpainter_size) == (1024, 512)
    assert order(plan)[0].model.vae is None
    assert (
        plan_of(view, vae="ema", inpainter="fill.safetensors", **masked).draws(plan.nodes[0]).vae is not None
    )


def test_the_inpainters_size_can_be_asked_for(view: Any, masked: Any) -> None:
    plan = plan_of(view, inpainter_size=60, **masked)
    assert plan.chunking(plan.nodes[0]).size_px == 64
    assert plan_of(view, inpainter="fill.safetensors", inpainter_size=768, **masked).inpainter_size == 768


def test_an_inpainter_that_is_not_needed_is_said(view: Any) -> None:
    plan = plan_of(view, inpainter="fill.safetensors")
    assert "the inpainter is not used: there is nothing to fill" in plan.notes
    assert order(plan)[0].model == plan.base()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "there is no model 'nothing'"),
        ("/etc/passwd", "Cannot find or access"),
        ("refiner.safetensors", "fills no masks"),
        ("edit.safetensors", "fills no masks"),
    ],
)
def test_inpainters_that_cannot_be_used(view: Any, masked: Any, name: str, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told) as caught:
        plan_of(view, inpainter=name, **masked)
    assert [fault.field for fault in caught.value.faults] == ["inpainter"]


def test_a_lora_needs_an_inpainter_of_the_models_build(
    view: Any, masked: Any, filled: WeightFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Told before anything is loaded, and only where the inpainter draws."""
    for name, widths in (("model/unet", [32, 64]), ("fills", [24, 48])):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"block_out_channels": widths}))
    base = replace(view.resolve_model("starter"), path=str(tmp_path / "model"))
    found = {"starter": base, filled.name: replace(filled, path=str(tmp_path / "fills"), parts_from=base)}
    found["style.safetensors"] = replace(base, name="style.safetensors", kind=WeightKind.LORA)
    before = view.resolve_model
    monkeypatch.setattr(
        view, "resolve_model", lambda name, kinds=(): found.get(name) or before(name, kinds=kinds)
    )
    asked = {"model": "starter", "inpainter": filled.name, "scheduler": "ddim"}
    lora = (Adapter(model="style.safetensors"),)
    with pytest.raises(InvalidRequestError, match="of other widths") as caught:
        plan_of(view, **asked, **masked, lora=lora)
    assert [fault.field for fault in caught.value.faults] == ["inpainter"]
    assert plan_of(view, **asked, lora=lora).patches
    assert plan_of(view, **asked, **masked).inpainter == found[filled.name]


def test_an_inpainter_beside_the_model_is_found(
    view: Any, masked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(view.resolve_model("fill.safetensors"), name="sd1-inpainting.safetensors")
    before = view.resolve_model
    monkeypatch.setattr(
        view,
        "resolve_model",
        lambda name, kinds=(): own if name == "sd1-inpainting" else before(name, kinds=kinds),
    )
    plan = plan_of(view, **masked)
    assert (plan.inpainter, plan.inpainter_difference) == (own, None)
    assert "the mask is filled by 'sd1-inpainting.safetensors', which is named after the model" in plan.notes
    assert plan_of(view).inpainter is None


def test_a_plugins_model_fills_masks_itself(view: Any, masked: Any) -> None:
    assert plan_of(view, model="starter", **masked).inpainter is None
    assert not [name for name, _ in view.asked if "inpainting" in name]


@pytest.fixture
def filled(view: Any, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    """Have the starter's offer name an inpainter, and give that."""
    base = view.resolve_model("starter")
    own = replace(
        view.resolve_model("fill.safetensors"), name="starter-fills", kind=WeightKind.UNET, parts_from=base
    )
    before = view.resolve_model
    monkeypatch.setattr(
        view, "resolve_model", lambda name, kinds=(): own if name == own.name else before(name, kinds=kinds)
    )
    offer = replace(view.offer("models", "starter"), inpainter=own.name)
    monkeypatch.setattr(view, "offers", lambda kind: {"starter": offer} if kind == "models" else {})
    return own


def test_a_plugins_model_may_name_who_fills_its_masks(view: Any, masked: Any, filled: WeightFile) -> None:
    plan = plan_of(view, model="starter", scheduler="ddim", **masked)
    assert plan.inpainter == filled
    assert "the mask is filled by 'starter-fills', which is offered for 'starter'" in plan.notes
    assert order(plan)[0].model.weights.parts_from == plan.model
    assert plan_from_json(json.loads(json.dumps(plan.to_json()))) == plan
    recorded = plan.to_json()["resolved"]["inpainter"]
    assert recorded["fingerprint"] == filled.fingerprint
    assert recorded["parts_from"]["fingerprint"] == plan.model.fingerprint
    assert plan_of(view, model="starter", scheduler="ddim").inpainter is None


def test_the_base_can_be_named_all_the_same(view: Any, masked: Any, filled: WeightFile) -> None:
    plan = plan_of(view, model="starter", inpainter="starter", scheduler="ddim", **masked)
    assert plan.inpainter == plan.model != filled


def test_what_is_for_the_base_keeps_it(view: Any, masked: Any, filled: WeightFile) -> None:
    """LoRA and ControlNets change the base's own UNet, which the inpainter's is not."""
    asked = replace(InvocationRequest(), lora=(Adapter(model="style"),))
    notes: list[str] = []
    voice = Voice(fault=lambda *fault: pytest.fail(str(fault)), note=notes.append)
    offer = view.offers("models")["starter"]
    for request in (
        asked,
        InvocationRequest(controlnet="canny"),
        InvocationRequest(nodes=(NodeRequest(controlnet="canny"),)),
    ):
        assert find_beside(request, filled.parts_from, offer, view, voice=voice) == (None, None)
    assert notes == ["'starter-fills' is not used: LoRA and ControlNets are for the model itself"] * 3


def test_a_recorded_inpainter_is_found_again_with_its_other_parts(view: Any, filled: WeightFile) -> None:
    plan = plan_of(view, model="starter", inpainter=filled.name, scheduler="ddim")
    assert found_again(plan, view) == plan
    assert filled.parts_from is not None
    other = replace(filled, parts_from=replace(filled.parts_from, fingerprint="another"))
    with pytest.raises(WeightsError, match="is not the 'starter' that the plan was drawn with"):
        found_again(replace(plan, inpainter=other), view)
