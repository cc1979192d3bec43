"""Pictures drawn by ONNX Runtime's engines in every mode, held against torch's; and what is said where torch draws."""

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
from stretto.host.contracts.events import Finished
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.fixtures import tiny_inpainter, tiny_sd1, tiny_sdxl  # noqa: F401
from stretto.trt_cache.store import EngineStore, State

from ...kept_engines import keep


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_sd1: Path,  # noqa: F811
    tiny_sdxl: Path,  # noqa: F811
    tiny_inpainter: Path,  # noqa: F811
) -> Iterator[Host]:
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    for name, made in (("one", tiny_sd1), ("xl", tiny_sdxl), ("filler", tiny_inpainter)):
        copied = shutil.copytree(made, folders.model_folder("diffusers") / name)
        # one VAE, so that its engines are built once: a build takes many seconds
        shutil.rmtree(copied / "vae")
        shutil.copytree(tiny_sd1 / "vae", copied / "vae")
    make_tiny_controlnet(folders.model_folder("controlnet") / "edges", tiny_sd1)
    with Host.open(folders, Settings(precision="float32")) as opened:
        draw(opened, model="one")  # so that the environment is the worker's before a test begins
        yield opened
    keep(folders.engines)


UNET = Build(component=Component.UNET, compiler="onnxruntime")


def draw(host: Host, **asked: Any) -> tuple[np.ndarray, Acceleration | None]:
    pixels, done = done_as(host, plan_of(host, **asked))
    return pixels, done.acceleration


def plan_of(host: Host, **asked: Any) -> Plan:
    values = {
        "prompt": "a red circle", "seed": 5, "num_inference_steps": 3, "width": 64, "height": 64, "size": 64,
        "inpainter_size": 64 if "mask" in asked else None, "scheduler": "ddim", "intermediates": False, **asked,
    }  # fmt: skip
    return host.plan(InvocationRequest(**values))


def done_as(host: Host, plan: Plan) -> tuple[np.ndarray, Finished]:
    done = host.run_here(plan)
    with Image.open(host.folders.images / done.images[0]) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16), done


def picture(host: Host, name: str) -> ImageRef:
    rows, columns = np.mgrid[0:64, 0:64]
    levels = np.stack([rows * 4, columns * 4, 255 - (rows + columns) * 2], axis=-1).astype(np.uint8)
    if name == "mask":
        levels = np.where(columns < 32, 255, 0).astype(np.uint8)
    path = host.folders.inputs / f"{name}.png"
    Image.fromarray(levels).save(path)
    mode = "L" if name == "mask" else "RGB"
    return ImageRef(path=str(path), width=64, height=64, mode=mode, sha256=name)


MODES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "text": ({"model": "one", "samples": 2}, ("unet", "vae_decoder")),
    "windows": (
        {"model": "one", "width": 96, "chunking_size": 32, "chunking_blur": 16},
        ("unet", "vae_decoder"),
    ),
    "image": ({"model": "one", "image": "image", "strength": 0.7}, ("vae_encoder", "unet", "vae_decoder")),
    "inpaint": (
        {"model": "one", "inpainter": "filler", "image": "image", "mask": "mask", "crop_inpaint": False},
        ("vae_encoder", "unet", "vae_decoder"),
    ),
    "controlnet": (
        {"model": "one", "controlnet": "edges", "control_image": "image", "process_control_image": False},
        ("controlled_unet", "vae_decoder"),
    ),
    "sdxl": ({"model": "xl"}, ("unet", "vae_decoder")),
}


@pytest.mark.parametrize("mode", MODES)
def test_engines_draw_what_torch_draws(host: Host, mode: str) -> None:
    asked, components = MODES[mode]
    asked = {
        key: picture(host, value) if value in {"image", "mask"} else value for key, value in asked.items()
    }
    wanted, nothing = draw(host, **asked)
    drawn, record = draw(host, **asked, acceleration="onnxruntime", build_tensorrt=True)
    assert nothing is None
    assert record is not None
    assert (record.requested, record.why) == ("onnxruntime", ())
    assert set(record.used) == set(components)
    assert np.abs(drawn - wanted).max() <= 2
    assert {engine.state for engine in EngineStore(host.folders.engines).all()} == {State.VERIFIED}


def test_without_an_engine_torch_draws_and_the_record_says_so(host: Host) -> None:
    # engines of one size are none for another
    asked = {"model": "one", "num_inference_steps": 2, "size": 72, "engine_profile": "static"}
    wanted, _ = draw(host, **asked)
    drawn, record = draw(host, **asked, acceleration="onnxruntime")
    assert record is not None
    assert record.used == ()
    assert [why.partition(":")[0] for why in record.why] == ["unet", "vae_decoder"]
    assert np.array_equal(drawn, wanted)


def test_engines_of_a_range_draw_in_any_size(host: Host) -> None:
    draw(host, model="one", acceleration="onnxruntime", build_tensorrt=True)
    store = EngineStore(host.folders.engines)
    before = {engine.digest for engine in store.all()}
    asked = {"model": "one", "size": 72, "width": 72, "height": 88}
    wanted, _ = draw(host, **asked)
    drawn, record = draw(host, **asked, acceleration="onnxruntime", build_tensorrt=True)
    assert record is not None
    assert (set(record.used), record.why) == ({"unet", "vae_decoder"}, ())
    assert np.abs(drawn - wanted).max() <= 2
    assert {engine.digest for engine in store.all()} == before


def test_an_engine_of_one_size_draws_any_canvas_in_windows_and_torch_what_it_cannot(host: Host) -> None:
    asked = {"model": "one", "width": 96, "chunking_blur": 16, "engine_profile": "static"}
    built = {"acceleration": "onnxruntime", "build_tensorrt": True}
    wanted, _ = draw(host, **asked, chunking_size=32)
    plan = plan_of(host, **asked, **built, chunking_size=32)
    drawn, record = done_as(host, plan)
    assert record.acceleration is not None
    assert record.acceleration.used == ("unet",)
    assert [why.partition(":")[0] for why in record.acceleration.why] == ["vae_decoder"]
    assert "unet: its engine takes 64 x 64 px, so larger pictures are drawn in windows of it" in record.notes
    assert np.abs(drawn - wanted).max() <= 2
    wanted, _ = draw(host, **asked, chunking_size=0)
    drawn, acceleration = draw(host, **asked, **built, chunking_size=0)
    assert acceleration is not None
    assert acceleration.used == ()
    assert acceleration.why[0].startswith(
        "unet: the engine takes width 8 to 8, and this is 12; windows (a `chunking"
    )
    assert np.array_equal(drawn, wanted)


def test_what_no_engine_can_do_is_torchs(host: Host) -> None:
    drawn, record = draw(host, model="one", tile=(True, False), acceleration="onnxruntime")
    assert drawn.shape == (64, 64, 3)
    assert record is not None
    assert record.used == ()
    assert "`tile`" in record.why[0]


def test_an_engine_that_computes_something_else_is_put_aside(host: Host) -> None:
    """A damaged weight: the gate finds it, the engine is quarantined, and torch draws."""
    asked = {"model": "one", "num_inference_steps": 2}
    wanted, _ = draw(host, **asked)
    draw(host, **asked, acceleration="onnxruntime", build_tensorrt=True)
    store = EngineStore(host.folders.engines)
    machine = host._here()
    spec = replace(
        host.plan(InvocationRequest(prompt="x", model="one")).base(), precision=machine.precision(None)
    )
    model = machine.pool.get(spec)
    found = store.find(machine.engines.order(model, UNET, 64).key)
    assert found is not None
    store.set_parity(found.digest, None, State.UNVERIFIED)
    machine.engines.close()
    weight = model.unet.conv_in.weight
    kept = weight.clone()
    with torch.no_grad():
        weight += 1  # the network is not what was compiled any more
    try:
        spoilt, record = draw(host, **asked, acceleration="onnxruntime")
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert record is not None
    assert record.used == ("vae_decoder",)
    assert "failed its check" in record.why[0]
    assert not np.array_equal(spoilt, wanted)
    aside = store.find(found.key)
    assert aside is not None
    assert aside.state is State.QUARANTINED
    assert aside.manifest.parity is not None
    assert aside.manifest.parity["passed"] is False
    drawn, record = draw(host, **asked, acceleration="onnxruntime", build_tensorrt=True)
    assert record is not None
    assert "failed its check" in record.why[0]
    assert np.abs(drawn - wanted).max() <= 2  # the VAE is still an engine's
    store.set_parity(found.digest, found.manifest.parity, State.VERIFIED)  # for the other tests
