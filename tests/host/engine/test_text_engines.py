"""Text encoders as engines of ONNX Runtime: what they say of prompts, what is drawn of it, and what the record says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.contracts.acceleration import Acceleration, Build
from stretto.host.contracts.engines import Component
from stretto.host.contracts.models import Precision
from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import InvocationRequest
from stretto.host.engine.bound import Hearing, swapped
from stretto.host.engine.conditioning import encode
from stretto.host.engine.parity import BOUNDS, compare
from stretto.host.planning.building import plan_build
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.trt_cache.store import EngineStore, State

from ...kept_engines import keep

PROMPT = "a red circle beside a much larger blue square"
TEXTS = {
    "one": (Component.TEXT_ENCODER,),
    "xl": (Component.TEXT_ENCODER, Component.TEXT_ENCODER_2),
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, tiny_sd1: Path, tiny_sdxl: Path) -> Iterator[Host]:
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    for name, made in (("one", tiny_sd1), ("xl", tiny_sdxl)):
        shutil.copytree(made, folders.model_folder("diffusers") / name)
    with Host.open(folders, Settings(precision="float32")) as opened:
        draw(opened, model="one")  # so that the environment is the worker's before a test begins
        yield opened
    keep(folders.engines)


def plan_of(host: Host, **asked: Any) -> Plan:
    values = {
        "prompt": PROMPT, "seed": 5, "num_inference_steps": 1, "width": 64, "height": 64, "size": 64,
        "scheduler": "ddim", "intermediates": False, **asked,
    }  # fmt: skip
    return host.plan(InvocationRequest(**values))


def draw(host: Host, **asked: Any) -> tuple[np.ndarray, Acceleration | None]:
    host._here().memo.clear()  # what encoders said of a prompt is kept for the next picture
    done = host.run_here(plan_of(host, **asked))
    with Image.open(host.folders.images / done.images[0]) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16), done.acceleration


@pytest.mark.parametrize("name", TEXTS)
def test_engines_of_text_encoders_say_and_draw_what_torchs_do(host: Host, name: str) -> None:
    wanted, _ = draw(host, model=name)
    plan = plan_of(host, model=name)
    machine = host._here()
    bounds = []
    for component in TEXTS[name]:
        build = Build(component=component, compiler="onnxruntime")
        host.run_here(plan_build(plan, build, host))
        model = machine.pool.get(replace(plan.base(), precision=machine.precision(None)))
        order = machine.engines.order(model, build, 64)
        stored = machine.engines.store.find(order.key)
        assert stored is not None
        assert stored.state is State.VERIFIED
        bounds.append(machine.engines.serving(order, model, stored))
    drawn, record = draw(host, model=name, acceleration="onnxruntime")
    assert record is not None
    assert set(record.used) == set(TEXTS[name])
    assert [why.partition(":")[0] for why in record.why] == ["unet", "vae_decoder"]  # none were built
    assert np.abs(drawn - wanted).max() <= 2

    heard: list[Component] = []
    with torch.inference_mode():
        by_torch = encode(model, PROMPT, 0)
        with swapped(model, bounds, Hearing(used=heard.append, torch_did=pytest.fail, failed=lambda _: None)):
            by_engines = encode(model, PROMPT, 0)
    assert sorted(heard) == sorted(TEXTS[name])
    said = [
        [tensor for tensor in (one.tokens, one.pooled) if tensor is not None]
        for one in (by_torch, by_engines)
    ]
    assert len(said[0]) == len(TEXTS[name])  # SDXL's is pooled, too
    report = compare(*said, BOUNDS[Precision.FLOAT32])
    assert report.passed, report.why
    assert {one.key.component for one in EngineStore(host.folders.engines).all()} >= set(TEXTS[name])
