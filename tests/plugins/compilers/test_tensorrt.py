"""TensorRT-RTX builds real engines without a GPU; where it runs none, it says so."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from stretto.host import AxisRange, Component, ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.graphs import network
from stretto.host.errors import EngineBuildError, EngineOpenError
from stretto.host.testing.full_size import random_model
from stretto.host.testing.toy import PROFILE, STATIC, ToyNetwork
from stretto.plugins.compilers import tensorrt
from stretto.plugins.compilers.tensorrt import PLAN, TensorRt

RTX = {offer.name: offer for offer in tensorrt.OFFERS}["tensorrt_rtx"]
FULL = {offer.name: offer for offer in tensorrt.OFFERS}["tensorrt"]
TARGETS = ("sm80", "sm89", "sm120")
COMPONENTS = ("unet", "controlled_unet", "vae_decoder", "vae_encoder")

needs_rtx = pytest.mark.skipif(RTX.missing() is not None, reason=str(RTX.missing()))


def silent(_phase, _share):
    """Hear nothing."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyNetwork:
    return ToyNetwork(tmp_path_factory.mktemp("toy"), Precision.FLOAT16)


@needs_rtx
@pytest.mark.parametrize("target", TARGETS)
def test_an_engine_is_built_without_a_gpu_and_tells_how_far_it_is(toy, tmp_path, target):
    heard = []
    RTX.build().build(toy, PROFILE, target, tmp_path, lambda *said: heard.append(said))
    assert [file.name for file in tmp_path.iterdir()] == [PLAN]
    assert (tmp_path / PLAN).stat().st_size > 10_000
    assert ("Building engine", 1.0) in heard
    shares = [share for phase, share in heard if phase == "Building engine"]
    assert shares == sorted(shares)


@needs_rtx
def test_an_engine_of_one_size_is_built_for_the_oldest_gpu(toy, tmp_path):
    RTX.build().build(toy, STATIC, "sm75", tmp_path, silent)
    assert (tmp_path / PLAN).stat().st_size > 10_000


def test_what_a_gpu_does_not_compute_in_is_refused_before_anything_is_exported(tmp_path):
    plain = ToyNetwork(tmp_path, Precision.BFLOAT16)
    with pytest.raises(EngineBuildError, match="controlled_unet for 'sm75': sm75 computes in float16 alone"):
        RTX.build().build(plain, PROFILE, "sm75", tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_gpu_is_refused_with_the_nearest_known_one(toy, tmp_path):
    with pytest.raises(EngineBuildError, match=r"'sm98': it is not a GPU .* did you mean 'sm89'"):
        RTX.build().build(toy, PROFILE, "sm98", tmp_path, silent)


@pytest.mark.parametrize("here", ["sm61", None])
def test_a_gpu_that_is_too_old_is_named(toy, tmp_path, monkeypatch, here):
    monkeypatch.setattr(tensorrt, "_capability", lambda _device: here)
    for offer in (RTX, FULL):
        with pytest.raises(EngineBuildError, match="the GPU is too old; the oldest that works is sm75"):
            offer.build().build(toy, PROFILE, "sm61", tmp_path, silent)


@needs_rtx
def test_the_library_says_in_its_own_words_what_it_cannot_read(toy, tmp_path):
    class Torn(ToyNetwork):
        def onnx(self) -> Path:
            path = tmp_path / "torn.onnx"
            path.write_bytes(toy.onnx().read_bytes()[:500])
            return path

    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(EngineBuildError, match=r"TensorRT-RTX cannot build .* the builder says: .*parse"):
        RTX.build().build(Torn(tmp_path, Precision.FLOAT16), PROFILE, "sm89", out, silent)
    assert list(out.iterdir()) == []


@needs_rtx
def test_a_builder_that_takes_too_much_memory_is_ended(toy, tmp_path):
    with pytest.raises(EngineBuildError, match=r"more than the 0\.1 GB of memory that it may take"):
        TensorRt(tensorrt.RTX, limit_bytes=60_000_000).build(toy, PROFILE, "sm89", tmp_path, silent)
    assert list(tmp_path.iterdir()) == []
    assert not _children()


@needs_rtx
def test_a_build_ends_at_once_when_nobody_wants_it_any_more(toy, tmp_path):
    class UnwantedError(Exception):
        pass

    def report(phase, _share):
        if phase == "Building engine":
            raise UnwantedError

    with pytest.raises(UnwantedError):
        RTX.build().build(toy, PROFILE, "sm89", tmp_path, report)
    assert list(tmp_path.iterdir()) == []
    assert not _children()


def _children() -> list[str]:
    return [
        one.name()
        for one in psutil.Process().children()
        if any("tensorrt_child" in word for word in one.cmdline())
    ]


def test_a_builder_does_not_outlive_who_asked_for_it():
    asker = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import time; from stretto.plugins.compilers.child import serve; serve(lambda order, tell: time.sleep(60))"],
    stdin=subprocess.PIPE)
child.stdin.write(b"{}\\n"); child.stdin.flush(); print(child.pid, flush=True); time.sleep(1.5)
"""
    said = subprocess.run(
        [sys.executable, "-c", asker], capture_output=True, text=True, check=True, timeout=60
    )
    pid = int(said.stdout)
    left = [psutil.Process(pid)] if psutil.pid_exists(pid) else []
    assert psutil.wait_procs(left, timeout=10)[1] == []


def test_it_says_why_an_engine_does_not_run_here(monkeypatch, tmp_path, toy):
    compiler = RTX.build()
    assert compiler.target("cpu") == "cpu"
    assert compiler.unable("sm89", "cpu") == (
        "TensorRT-RTX engines run on NVIDIA GPUs, and this machine computes on 'cpu'"
    )
    (tmp_path / PLAN).write_bytes(b"plan")
    with pytest.raises(EngineOpenError, match="engines run on NVIDIA GPUs"):
        compiler.open(tmp_path, toy, PROFILE, "cpu")
    (tmp_path / PLAN).unlink()
    with pytest.raises(EngineOpenError, match=f"there is no {PLAN}"):
        compiler.open(tmp_path, toy, PROFILE, "cpu")
    monkeypatch.setattr(tensorrt, "_capability", lambda device: "sm86" if device == "cuda" else None)
    assert compiler.target("cuda") == "sm86"
    assert compiler.unable("sm86", "cuda") is None
    assert compiler.unable("sm89", "cuda") == "the engine is built for sm89, and the GPU here is sm86"


def test_each_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(tensorrt, "find_spec", lambda _name: None)
    assert RTX.missing() == "TensorRT-RTX is not installed; `pip install 'stretto[tensorrt-rtx]'` installs it"
    assert FULL.missing() == "TensorRT is not installed; `pip install 'stretto[tensorrt]'` installs it"
    monkeypatch.undo()
    monkeypatch.setattr(tensorrt, "find_spec", lambda _name: object())
    monkeypatch.setattr(tensorrt.Library, "version", lambda _self: "10.8.0")
    monkeypatch.setattr(tensorrt, "_has_gpu", lambda: False)
    assert "builds on the NVIDIA GPU that it builds for, and there is none" in FULL.missing()
    assert RTX.missing() is None
    assert FULL.build().version() == "tensorrt 10.8.0"
    assert FULL.build().targets() == ()
    assert set(TARGETS) < set(RTX.build().targets())


# -- the networks themselves ---------------------------------------------------------------------

SMALL = {
    "batch": AxisRange(min=1, opt=2, max=4),
    "height": AxisRange(min=8, opt=8, max=16),
    "width": AxisRange(min=8, opt=8, max=16),
    "tokens": AxisRange(min=77, opt=77, max=154),
}


def of(folder: Path) -> LoadedModel:
    return LoadedModel(
        spec=ModelSpec(role=Role.BASE, weights=WeightFile(path=str(folder), kind=WeightKind.DIFFUSERS)),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float16).eval(),
        vae=AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float16).eval(),
        text_encoders=(), tokenizers=(), scheduler_config={}, options={},
    )  # fmt: skip


def build_all(folder: Path, component: str, into: Path) -> None:
    """Export once, and build for every target; polygraphy reads the graph."""
    graph = network(of(folder), Component(component), into)
    for target in TARGETS:
        out = into / target
        out.mkdir()
        RTX.build().build(graph, SMALL, target, out, silent)
        assert (out / PLAN).stat().st_size > 100_000
    told = subprocess.run(
        [Path(sys.executable).with_name("polygraphy"), "inspect", "model", str(graph.onnx())],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert all(port.name in told.stdout for port in (*graph.inputs, *graph.outputs))


@needs_rtx
def test_a_vae_decoder_is_built_for_three_gpus_and_polygraphy_reads_its_graph(tiny_sd1, tmp_path):
    build_all(tiny_sd1, "vae_decoder", tmp_path)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sd2", "tiny_sdxl", "tiny_inpainter", "starter_path"])
def test_every_network_is_built_for_three_gpus(request, model, component, tmp_path):
    build_all(request.getfixturevalue(model), component, tmp_path)


STATED = {  # one canvas of 512 px, as `static` profiles have it
    "batch": AxisRange(min=1, opt=2, max=2),
    "height": AxisRange(min=64, opt=64, max=64),
    "width": AxisRange(min=64, opt=64, max=64),
    "tokens": AxisRange(min=77, opt=77, max=77),
}


@needs_rtx
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("component", ["unet", "controlled_unet", "vae_decoder", "vae_encoder"])
def test_networks_of_the_real_size_are_built_for_a_gpu(component, request, tmp_path):
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("writes up to 7 GB and takes minutes; run with -m slow -s")
    graph = network(random_model("sd15", "cpu", torch.float16), Component(component), tmp_path)
    began = time.perf_counter()
    graph.onnx()
    exported = time.perf_counter()
    out = tmp_path / "engine"
    out.mkdir()
    RTX.build().build(graph, STATED, "sm89", out, silent)
    built = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    size = (out / PLAN).stat().st_size / 1e9
    sys.stdout.write(
        f"\n| {component}, sm89 | exported in {exported - began:.0f} s | built in {built - exported:.0f} s "
        f"| {peak:.1f} GB at most in the builder | {size:.2f} GB |\n"
    )
    assert size > (0.9 if "unet" in component else 0.05)


def test_weights_are_put_into_an_engine_on_its_gpu_alone(toy, tmp_path, monkeypatch):
    (tmp_path / PLAN).write_bytes(b"no plan")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(EngineBuildError, match="engines run on NVIDIA GPUs, and this machine computes on"):
        RTX.build().refit(toy, tmp_path, "sm89", out, silent)
    monkeypatch.setattr(tensorrt, "_capability", lambda _device: "sm86")
    with pytest.raises(EngineBuildError, match="built for sm89, and the GPU here is sm86"):
        RTX.build().refit(toy, tmp_path, "sm89", out, silent)
    assert not list(out.iterdir())


@needs_rtx
def test_what_is_no_engine_takes_no_weights(toy, tmp_path, monkeypatch):
    (tmp_path / PLAN).write_bytes(b"no plan")
    out = tmp_path / "out"
    out.mkdir()
    heard = []
    monkeypatch.setattr(tensorrt, "_capability", lambda _device: "sm89")
    with pytest.raises(EngineBuildError, match="TensorRT-RTX cannot build the controlled_unet for 'sm89'"):
        RTX.build().refit(toy, tmp_path, "sm89", out, lambda phase, _share: heard.append(phase))
    assert heard[0] == "export the graph"
    assert "load the engine" in heard
    assert not list(out.iterdir())


def test_engines_that_take_other_weights_have_a_flag_of_their_own(monkeypatch):
    plain = (RTX.build().flags(),)
    assert all("refittable" not in flags for flags in plain)
    assert RTX.build().flags_for("sm89") == plain  # it is built elsewhere than it runs, and keeps its weights
    monkeypatch.setattr(tensorrt, "_capability", lambda _device: "sm89")
    built, *others = RTX.build().flags_for("sm89")
    assert built == (*plain[0], "refittable")
    assert tuple(others) == plain  # what came from elsewhere serves
    assert RTX.build().flags_for("sm120") == plain
    without = {spec.name: spec for spec in tensorrt.offers(refits=False)}["tensorrt_rtx"].build()
    assert without.flags_for("sm89") == plain


@needs_rtx
@pytest.mark.parametrize(("profile", "here"), [(STATIC, "sm89"), (PROFILE, "sm120")])
def test_the_builder_is_told_what_the_flags_say(toy, tmp_path, monkeypatch, profile, here):
    orders = []
    monkeypatch.setattr(tensorrt, "_capability", lambda _device: here)
    monkeypatch.setattr(tensorrt, "supervised", lambda _module, order, *_more, **_named: orders.append(order))
    RTX.build().build(toy, profile, "sm89", tmp_path, silent)
    (order,) = orders
    assert order["refittable"] == ("refittable" in RTX.build().flags_for("sm89")[0])
    assert order["capturable"] == (profile is STATIC)
    assert "capturable_of_one_size" in RTX.build().flags()
    assert "capturable_of_one_size" not in FULL.build().flags()


def test_whether_engines_take_other_weights_is_set():
    assert [spec.build().refits for spec in tensorrt.offers()] == [True, True]
    assert [spec.build().refits for spec in tensorrt.offers(refits=False)] == [False, False]
