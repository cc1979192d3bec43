"""torch.compile: packages that open without compiling, and blocks that are compiled from what was kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stretto.host.errors import CancelledError, EngineBuildError, EngineOpenError
from stretto.host.testing.toy import PROFILE, ToyNetwork
from stretto.plugins.compilers import torch_compile
from stretto.plugins.compilers.torch_compile import ABOUT, CACHE, OFFERS, PACKAGE, TorchCompile

(OFFER,) = OFFERS
needs_compiler = pytest.mark.skipif(OFFER.missing() is not None, reason=str(OFFER.missing()))
pytestmark = pytest.mark.timeout(600)  # the C++ compiler alone takes half a minute of a busy machine
SIZES = ((2, 8, 8), (1, 4, 16), (4, 9, 13))  # odd sides, too


def silent(_phase, _share):
    """Hear nothing."""


# What a package computes is the same in plain, unoptimized code. Trying every instruction set costs half a minute in
# each process, optimizing ten seconds.
PLAINLY = {"TORCHINDUCTOR_VEC_ISA_OK": "0", "AOT_INDUCTOR_COMPILE_WRAPPER_OPT_LEVEL": "O0"}


@pytest.fixture(autouse=True)
def compiling_plainly(monkeypatch):
    for name, value in PLAINLY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyNetwork:
    return ToyNetwork(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def package(toy, tmp_path_factory):
    """Give the folder of an engine that is a package."""
    out = tmp_path_factory.mktemp("package")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLAINLY.items():
            patch.setenv(name, value)
        compiler = OFFER.build()
        compiler.build(toy, PROFILE, compiler.target("cpu"), out, silent)
    return out


def agrees(engine, network, sizes=SIZES) -> None:
    for batch, height, width in sizes:
        inputs = network.sample({"batch": batch, "height": height, "width": width, "tokens": 77}, seed=batch)
        with torch.inference_mode():
            (expected,) = network.module()(*inputs.values())
            (got,) = engine(inputs)
        assert torch.allclose(got, expected, atol=1e-5)


def test_engines_for_gpus_have_one_size_as_cuda_graphs_do():
    assert OFFER.profiled_for is not None
    assert [OFFER.profiled_for(target) for target in ("sm89", "sm120", TorchCompile().target("cpu"))] == [
        "static",
        "static",
        "range",
    ]


@needs_compiler
def test_a_package_computes_what_torch_does_at_every_size(toy, package):
    assert sorted(file.name for file in package.iterdir()) == [ABOUT, PACKAGE]
    engine = OFFER.build().open(package, toy, PROFILE, "cpu")
    agrees(engine, toy)
    engine.close()
    engine.close()
    with pytest.raises(EngineOpenError, match="closed"):
        agrees(engine, toy)


@needs_compiler
def test_a_package_needs_no_compiler_and_no_weights_to_open(toy, package):
    said = subprocess.run(
        [sys.executable, "-c", f"""
import os, sys, torch
os.environ["PATH"] = ""
from pathlib import Path
from types import SimpleNamespace
from stretto.plugins.compilers.torch_compile import TorchCompile
ports = [SimpleNamespace(name=str(index)) for index in range(4)]
engine = TorchCompile().open(Path({str(package)!r}), SimpleNamespace(inputs=ports), {{}}, "cpu")
given = [torch.zeros(2, 4, 8, 8), torch.zeros(1), torch.zeros(2, 77, 32), torch.zeros(2, 32, 4, 4)]
print(*engine(dict(zip("0123", given)))[0].shape, "torch._inductor.codecache" in sys.modules)
"""], capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert said.stdout.split() == ["2", "4", "8", "8", "False"]


@needs_compiler
@pytest.mark.slow
def test_a_network_that_cannot_be_exported_has_its_blocks_compiled(tmp_path, toy):
    """And says so; the network itself stays uncompiled."""

    class Peeking(ToyNetwork):
        def __post_init__(self) -> None:
            super().__post_init__()
            self._module = _Peeking(self._module)

    network = Peeking(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    compiler = OFFER.build()
    compiler.build(network, PROFILE, compiler.target("cpu"), out, silent)
    about = json.loads((out / ABOUT).read_text())
    assert about["kind"] == "blocks"
    assert "cannot be exported" in about["why"]
    assert (out / CACHE).stat().st_size > 1000
    engine = compiler.open(out, network, PROFILE, "cpu")
    agrees(engine, network)
    assert not any(getattr(one, "_compiled_call_impl", None) for one in network.module().modules())
    engine.close()


class ResnetBlock2D(torch.nn.Module):
    """Has the name of a block that UNets repeat."""

    def __init__(self, toy: torch.nn.Module) -> None:
        super().__init__()
        self.toy = toy

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.toy(*given)


class _Peeking(torch.nn.Module):
    """Looks at a value, which no exported graph can."""

    def __init__(self, toy: torch.nn.Module) -> None:
        super().__init__()
        self.block = ResnetBlock2D(toy)

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(one * (2 if given[0].sum() > 0 else 3) for one in self.block(*given))


def test_what_was_compiled_for_another_processor_is_told(toy, tmp_path):
    compiler = OFFER.build()
    own = compiler.target("cpu")
    assert compiler.targets()[0] == own
    assert compiler.unable(own, "cpu") is None
    assert compiler.unable("cpu-x86_64-00000000", "cpu").startswith("it is compiled for cpu-x86_64-00000000")
    with pytest.raises(EngineBuildError, match=r"it compiles for 'cpu-.*, not for 'sm89'"):
        compiler.build(toy, PROFILE, "sm89", tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch, toy, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert "`apt install g++`" in OFFER.missing()
    with pytest.raises(EngineBuildError, match="there is no C"):
        OFFER.build().build(toy, PROFILE, TorchCompile().target("cpu"), tmp_path, silent)


@needs_compiler
def test_a_build_ends_when_nobody_wants_it_and_leaves_nothing(toy, tmp_path):
    def report(phase, _share):
        if phase == "load the compiler":
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        OFFER.build().build(toy, PROFILE, TorchCompile().target("cpu"), tmp_path, report)
    assert list(tmp_path.iterdir()) == []


@needs_compiler
@pytest.mark.slow
def test_a_compiler_that_fails_is_quoted(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(torch_compile, "_missing", lambda: None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(
        EngineBuildError, match=r"torch\.compile cannot build the controlled_unet: the builder says"
    ):
        OFFER.build().build(toy, PROFILE, TorchCompile().target("cpu"), out, silent)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "why"),
    [({}, "No such file"), ({ABOUT: b"{}"}, "kind"), ({ABOUT: b'{"kind": "package"}', PACKAGE: b"torn"}, "")],
)
def test_a_folder_that_holds_something_else_does_not_open(toy, tmp_path, files, why):
    for name, content in files.items():
        Path(tmp_path / name).write_bytes(content)
    with pytest.raises(EngineOpenError, match=f"cannot be opened: .*{why}"):
        OFFER.build().open(tmp_path, toy, PROFILE, "cpu")
