"""An engine that fails, wherever it does, costs speed alone: torch draws the same picture, and the record says why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.acceleration import Acceleration, Build
from stretto.host.contracts.engines import Component
from stretto.host.contracts.request import InvocationRequest
from stretto.host.engine.gate import DRAWN_DB
from stretto.host.planning.building import plan_build
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import tiny_sd1  # noqa: F401
from stretto.trt_cache.store import EngineStore, State

from .frail_compiler import FAULT

PLUGIN = Path(__file__).with_name("frail_compiler.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_sd1: Path) -> tuple[Folders, Path]:  # noqa: F811
    root = tmp_path_factory.mktemp("frail")
    plugins = root / "plugins.toml"
    plugins.write_text(f'[host]\nautoload = false\npaths = ["{PLUGIN}"]\n')
    folders = Folders(root / "data")
    folders.create()
    shutil.copytree(tiny_sd1, folders.model_folder("diffusers") / "one")
    return folders, plugins


@pytest.fixture(scope="module")
def host(place: tuple[Folders, Path]) -> Iterator[Host]:
    folders, plugins = place
    with Host.open(folders, Settings(precision="float32"), plugins_file=plugins) as opened:
        draw(opened)  # so that the environment is the worker's before a test begins
        yield opened


@pytest.fixture(autouse=True)
def empty(host: Host) -> EngineStore:
    """Begin without engines, open or kept."""
    host._here().engines.close()
    store = EngineStore(host.folders.engines)
    for engine in store.all():
        store.remove(engine.digest)
    return store


def draw(host: Host, **asked: Any) -> tuple[np.ndarray, Acceleration | None]:
    request = InvocationRequest(
        prompt="a red circle", model="one", seed=5, num_inference_steps=3, width=64, height=64, size=64,
        scheduler="ddim", intermediates=False, **asked,
    )  # fmt: skip
    done = host.run_here(host.plan(request))
    with Image.open(host.folders.images / done.images[0]) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16), done.acceleration


ASKED: dict[str, Any] = {"acceleration": "frail", "build_tensorrt": True}


def test_an_engine_that_fails_in_the_middle_leaves_the_job_to_torch(
    host: Host, empty: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = draw(host)
    _, record = draw(host, **ASKED)
    assert record is not None
    assert (set(record.used), record.why) == ({"unet", "vae_decoder"}, ())
    host._here().engines.close()
    heights = [(engine.manifest.parity or {})["psnr_db"] for engine in empty.all()]
    assert (len(heights), min(heights) >= DRAWN_DB) == (2, True)  # pictures of both were held against torch's
    monkeypatch.setenv(FAULT, "run")
    drawn, record = draw(host, **ASKED)
    assert record is not None
    (why,) = record.why
    assert why.startswith("unet: its engine failed while it ran: ")
    assert "'frail_compiler'" in why
    assert why.endswith("an illegal instruction was encountered")
    assert np.abs(drawn - wanted).max() <= 2
    monkeypatch.delenv(FAULT)
    _, record = draw(host, **ASKED)  # what failed is opened anew
    assert record is not None
    assert (set(record.used), record.why) == ({"unet", "vae_decoder"}, ())
    assert {engine.state for engine in empty.all()} == {State.VERIFIED}


def test_an_engine_that_fails_in_its_check_is_put_aside(
    host: Host, empty: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = draw(host)
    monkeypatch.setenv(FAULT, "run")
    drawn, record = draw(host, **ASKED)
    assert record is not None
    assert "failed its check: " in record.why[0]
    assert np.array_equal(drawn, wanted)
    states = {engine.key.component: engine.state for engine in empty.all()}
    assert states["unet"] is State.QUARANTINED


@pytest.mark.parametrize("fault", ["full", "open"])
def test_a_full_device_while_an_engine_is_opened_is_no_fault_of_it(
    host: Host, empty: EngineStore, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    wanted, _ = draw(host)
    monkeypatch.setenv(FAULT, fault)
    drawn, record = draw(host, **ASKED)
    assert record is not None
    assert record.used == ()
    assert record.why[0] == "unet: the memory is full, and its engine would take more of it"
    assert np.array_equal(drawn, wanted)
    assert {engine.state for engine in empty.all()} == {State.UNVERIFIED}


def test_a_text_encoders_engine_that_finds_no_memory_is_torchs(
    host: Host, empty: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = draw(host)
    model = host.plan(InvocationRequest(prompt="x", model="one", size=64))
    build = Build(component=Component.TEXT_ENCODER, compiler="frail")
    host.run_here(plan_build(model, build, host))
    host._here().engines.close()
    host._here().memo.clear()  # prompts that were read before
    monkeypatch.setenv(FAULT, "open")
    drawn, record = draw(host, acceleration="frail")
    assert record is not None
    assert record.why[-1] == "text_encoder: the memory is full, and its engine would take more of it"
    assert np.array_equal(drawn, wanted)
    (engine,) = empty.all()
    assert (engine.key.component, engine.state) == ("text_encoder", State.VERIFIED)


def test_a_full_disk_leaves_the_component_to_torch_and_the_next_one_to_its_engine(
    host: Host,
    empty: EngineStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted, _ = draw(host)
    monkeypatch.setenv(FAULT, "disk")
    drawn, record = draw(host, **ASKED)
    assert record is not None
    assert record.used == ("vae_decoder",)
    (why,) = record.why
    assert "cannot be kept in" in why
    assert "No space left on device; free some disk, or name another folder with --engine-dir" in why
    assert np.abs(drawn - wanted).max() <= 2
    (kept,) = empty.all()
    assert kept.key.component == "vae_decoder"
    assert [path for path in host.folders.engines.rglob("half") if kept.digest not in str(path)] == []
    row = next(row for row in host.plugins() if row.name == "frail_compiler")
    assert row.status == "on"
