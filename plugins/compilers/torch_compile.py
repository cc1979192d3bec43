"""torch's own compiler: a network as one compiled library on CPUs, its blocks compiled one by one on GPUs.

On the CPU the engine is AOTInductor's package, weights and all, which opens without compiling. On a GPU, and
where a network cannot be exported, it is what inductor cached while it compiled the blocks, so that another
process compiles them in seconds; they run as CUDA graphs.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stretto.host import (
    CompilerSpec,
    Component,
    EngineBuildError,
    EngineOpenError,
    Network,
    Precision,
    Profile,
)

from .shapes import is_dynamic
from .supervising import supervised

if TYPE_CHECKING:
    import torch
    from stretto.host import CompiledNetwork

__all__ = ["CACHE", "OFFERS", "PACKAGE", "TorchCompile"]

PACKAGE = "network.pt2"  # AOTInductor's
CACHE = "inductor.cache"  # of blocks that are compiled at the first call
ABOUT = "engine.json"
_COMPILER = "stretto.plugins.compilers.torch_child"
_ALONE = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # it compiles one file; helpers would only load torch anew
_TOKENS = 77
_STEP = 8  # cells between the two sides of a traced picture, so that neither is taken for the other
Report = Callable[[str, float | None], None]


class TorchCompile:
    """Compiles for this machine alone; `limit_bytes` bounds the memory of a build."""

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit_bytes = limit_bytes

    def version(self) -> str:
        """Give `torch 2.11.0`."""
        return f"torch {metadata.version('torch')}"

    def target(self, device: str) -> str:
        """Give the GPU's compute capability, `sm89`, or the kind of CPU: code for one may not run on another."""
        import torch

        if device.startswith("cuda"):
            major, minor = torch.cuda.get_device_capability(device)
            return f"sm{major}{minor}"
        return f"{device}-{platform.machine()}-{_cpu_digest()}" if device == "cpu" else device

    def targets(self) -> tuple[str, ...]:
        """Give this machine's own."""
        import torch

        return tuple(
            self.target(device) for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else []))
        )

    def flags(self) -> tuple[str, ...]:
        """Give none: all that is chosen follows from the device."""
        return ()

    def build(self, network: Network, profile: Profile, target: str, out: Path, report: Report) -> None:
        """Write the package, or where the network cannot be exported the compiled blocks, into `out`.

        Raises EngineBuildError for another machine's target and for what the compiler refuses.
        """
        device = _device(network, profile)
        if target != self.target(device):
            raise _failed(
                network,
                f"it compiles for '{self.target(device)}', this machine's {device}, not for '{target}'",
            )
        if why := _missing():
            raise _failed(network, why)
        about = {"kind": "blocks"}
        if device == "cpu":
            about = self._package(network, profile, out, report)
        if about["kind"] == "blocks":
            report("compile the blocks", None)
            try:
                from .torch_blocks import compile_blocks

                (out / CACHE).write_bytes(compile_blocks(network, profile))
            except RuntimeError as error:  # the root of torch's own
                raise _failed(network, _first_line(error)) from error
        (out / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def unable(self, target: str, device: str) -> str | None:
        """Say that an engine was compiled for another kind of processor."""
        here = self.target(device)
        return None if here == target else f"it is compiled for {target}, and '{device}' here is {here}"

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> CompiledNetwork:
        """Load the package, or compile the blocks of the network's own module from the cache.

        Raises EngineOpenError for a folder that does not hold what `build` wrote.
        """
        try:
            kind = json.loads((engine / ABOUT).read_text(encoding="utf-8"))["kind"]
            if kind == "package":
                return _Package(engine / PACKAGE, network)
            from .torch_blocks import Blocks

            return Blocks((engine / CACHE).read_bytes(), network, profile, device)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise EngineOpenError(f"the engine in {engine} cannot be opened: {_first_line(error)}") from error

    def _package(self, network: Network, profile: Profile, out: Path, report: Report) -> dict[str, str]:
        """Compile the whole network ahead of time; says why if it cannot be exported."""
        import torch

        report("export the graph", None)
        try:
            program = _exported(network, profile)
        except RuntimeError as error:  # the root of torch.export's own
            return {"kind": "blocks", "why": f"it cannot be exported: {_first_line(error)}"}
        with tempfile.TemporaryDirectory(dir=out, prefix=".program-") as folder:
            file = Path(folder) / "program.pt2"
            torch.export.save(program, file)
            del program
            order = {"program": str(file), "package": str(out / PACKAGE), "threads": torch.get_num_threads()}
            try:
                supervised(_COMPILER, order, report, environment=_ALONE, limit_bytes=self._limit_bytes)
            except EngineBuildError as error:
                raise _failed(network, str(error)) from error
        return {"kind": "package"}


class _Package:
    """A package that is loaded; implements the contracts' `CompiledNetwork`."""

    def __init__(self, file: Path, network: Network) -> None:
        from torch._C._aoti import AOTIModelPackageLoader

        # What torch._inductor.aoti_load_package ends in. Before, it tries the C++ compiler on every instruction
        # set, for half a minute, to warn of another CPU; `target` tells CPUs apart.
        self._names = [port.name for port in network.inputs]
        self._loader: Any = AOTIModelPackageLoader(str(file), "model", True, 1, -1)

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if self._loader is None:
            raise EngineOpenError("the engine is closed")
        given = [inputs[name] for name in self._names]
        try:
            return tuple(self._loader.run(given))
        except RuntimeError as error:
            shapes = ", ".join(
                f"{name} {tuple(one.shape)}" for name, one in zip(self._names, given, strict=True)
            )
            raise EngineOpenError(f"the engine does not run on {shapes}: {_first_line(error)}") from error

    def close(self) -> None:
        self._loader = None


def _exported(network: Network, profile: Profile) -> Any:
    """Export over the profile; raises RuntimeError where an axis that is a range would be fixed."""
    import torch

    inputs = network.sample(_traced(profile))
    dims = tuple(
        {place: _dim(word, profile) for place, word in enumerate(port.shape) if isinstance(word, str)}
        if is_dynamic(port, profile)
        else None
        for port in network.inputs
    )
    with torch.inference_mode(mode=False), torch.no_grad():
        given = tuple(tensor.clone() for tensor in inputs.values())
        program = torch.export.export(network.module(), given, dynamic_shapes=(dims,), strict=False)
    _check_free(program, network, profile)
    return program


def _dim(word: str, profile: Profile) -> Any:
    """Give what `torch.export` is told of an axis: its range, or that a factor of one follows."""
    from torch.export import Dim

    if word not in profile:
        return Dim.AUTO
    span = profile[word]
    return Dim.STATIC if span.static else Dim.AUTO(min=span.min, max=span.max)


def _traced(profile: Profile) -> dict[str, int]:
    """Give lengths to trace at: unlike each other, and none of them 1, which would be taken for a rule."""
    lengths = {name: span.opt for name, span in profile.items()}
    better = {"batch": 2, "tokens": 2 * _TOKENS}
    lengths |= {
        name: length for name, length in better.items() if name in profile and profile[name].holds(length)
    }
    if lengths.get("height") == lengths.get("width") and "width" in profile:
        tried = (lengths["width"] + _STEP, lengths["width"] - _STEP, profile["width"].max)
        lengths["width"] = next((one for one in tried if profile["width"].holds(one)), lengths["width"])
    return lengths


def _check_free(program: Any, network: Network, profile: Profile) -> None:
    """Raise RuntimeError if export fixed an axis that the profile gives a range."""
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"][-len(network.inputs) :]
    for port, node in zip(network.inputs, nodes, strict=True):
        for word, length in zip(port.shape, node.meta["val"].shape, strict=True):
            if isinstance(length, int) and word in profile and not profile[str(word)].static:
                raise RuntimeError(f"{word} of {port.name} would be fixed at {length}")


def _device(network: Network, profile: Profile) -> str:
    first = next(iter(network.sample({name: span.min for name, span in profile.items()}).values()))
    return str(first.device.type)


def _policy(target: str) -> Literal["static", "range"]:
    """Give one size for GPUs, where CUDA graphs are for one size each; a package for CPUs takes them all."""
    return "static" if target.startswith("sm") else "range"


@cache
def _cpu_digest() -> str:
    """Tell kinds of CPUs apart by what they can do, as Linux says it, elsewhere by their name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    able = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    words = " ".join(sorted(able.partition(":")[2].split() or [able]))
    return hashlib.sha256(words.encode()).hexdigest()[:8]


def _missing() -> str | None:
    """Say that there is no C++ compiler, which inductor calls for CPUs, and triton for its launchers."""
    compiler = os.environ.get("CXX") or ("clang++" if platform.system() == "Darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler '{compiler}'; Debian: `apt install g++`"
    return None


def _failed(network: Network, why: str) -> EngineBuildError:
    return EngineBuildError(f"torch.compile cannot build the {network.component}: {why.rstrip('.')}.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


OFFERS = (
    CompilerSpec(
        name="torch_compile",
        title="torch.compile",
        build=TorchCompile,
        components=tuple(Component),
        precisions=tuple(Precision),
        profiled="range",
        profiled_for=_policy,
        missing=_missing,
    ),
)
