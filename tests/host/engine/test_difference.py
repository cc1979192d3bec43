"""An inpainting model becomes another model's by what that one has learnt beyond their common base."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.models import Role
from stretto.host.contracts.request import InvocationRequest
from stretto.host.engine.components import networks
from stretto.host.engine.difference import add_difference
from stretto.host.errors import WeightsError
from stretto.host.planning.order import order
from stretto.host.runtime.host import Host
from stretto.host.runtime.machine import Machine
from stretto.host.settings import Folders, Settings
from stretto.host.testing.tiny import make_tiny_inpainter, make_tiny_sd1, make_tiny_sd2


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    models = folders.model_folder("diffusers")
    make_tiny_sd1(models / "v1-5-pruned", seed=0)
    make_tiny_sd1(models / "mine", seed=9)
    make_tiny_inpainter(models / "sd-v1-5-inpainting")
    with (
        Host.open(folders, Settings(model="mine", precision="float32")) as host,
        Machine.open(host) as machine,
    ):
        yield host, machine


@pytest.fixture
def painted(tmp_path: Any) -> dict[str, ImageRef]:
    refs = {}
    for name, image in (
        ("image", Image.new("RGB", (64, 64), (9, 99, 199))),
        ("mask", Image.new("L", (64, 64), 255)),
    ):
        image.save(tmp_path / f"{name}.png")
        refs[name] = ImageRef(
            path=str(tmp_path / f"{name}.png"), width=64, height=64, mode=image.mode, sha256=""
        )
    return refs


def loaded(host: Any, machine: Any, name: str) -> Any:
    plan = host.plan(InvocationRequest(prompt="x", model="mine", inpainter=name))
    return machine._load(replace(plan.base(), weights=plan.inpainter), "cpu")


def test_what_was_learnt_is_added(studio, painted):
    host, machine = studio
    plan = host.plan(InvocationRequest(prompt="x", num_inference_steps=2, **painted))
    spec = order(plan)[0].model
    assert (spec.role, spec.weights.name) == (Role.INPAINTER, "sd-v1-5-inpainting")
    assert any("with what 'mine' has learnt beyond 'v1-5-pruned' added" in note for note in plan.notes)
    made = machine.pool.get(spec)
    filler, mine, base = (
        loaded(host, machine, name) for name in ("sd-v1-5-inpainting", "mine", "v1-5-pruned")
    )
    for parts in zip(networks(made), networks(filler), networks(mine), networks(base), strict=True):
        weights = [dict(network.named_parameters()) for network in parts]
        for name, weight in weights[0].items():
            into, more, less = (each[name] for each in weights[1:])
            if into.shape != more.shape:
                assert torch.equal(weight[:, 4:], into[:, 4:])
                weight, into = weight[:, :4], into[:, :4]  # noqa: PLW2901
            torch.testing.assert_close(weight, into + (more - less), rtol=1e-6, atol=1e-6)


def test_it_draws(studio, painted):
    host, _ = studio
    plan = host.plan(InvocationRequest(prompt="x", num_inference_steps=2, **painted))
    assert len(host.run_here(plan).images) == 1


def test_the_base_itself_needs_nothing_added(studio, painted):
    host, _ = studio
    plan = host.plan(InvocationRequest(prompt="x", model="v1-5-pruned", **painted))
    assert (plan.inpainter.name, plan.inpainter_difference) == ("sd-v1-5-inpainting", None)


def test_who_is_named_fills_the_mask(studio, painted):
    host, _ = studio
    plan = host.plan(InvocationRequest(prompt="x", inpainter="mine", **painted))
    assert (plan.inpainter.name, plan.inpainter_difference) == ("mine", None)


def test_other_architectures_are_refused(studio, tmp_path):
    host, machine = studio
    make_tiny_sd2(host.folders.model_folder("diffusers") / "other")
    filler, other, base = (
        loaded(host, machine, name) for name in ("sd-v1-5-inpainting", "other", "v1-5-pruned")
    )
    with pytest.raises(WeightsError, match=r"cannot be made to fill masks as .*other would"):
        add_difference(filler, other, base)
