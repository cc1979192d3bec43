"""TensorRT and TensorRT-RTX: one code for both, since they share an API; which one, its name says.

TensorRT-RTX builds for named GPUs on any machine. TensorRT tries its kernels out while it builds, so it
needs the GPU and builds for that one alone. Networks are strongly typed: an engine computes in what its graph says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import (
    CompilerSpec,
    Component,
    EngineBuildError,
    EngineOpenError,
    Network,
    Precision,
    Profile,
    did_you_mean,
)

from .shapes import is_one_size, ranges
from .supervising import supervised

if TYPE_CHECKING:
    from stretto.host import CompiledNetwork

__all__ = ["OFFERS", "PLAN", "Library", "TensorRt", "offers"]

_BUILDER = "stretto.plugins.compilers.tensorrt_child"
_REFITTER = "stretto.plugins.compilers.tensorrt_refit_child"
PLAN = "engine.plan"  # the file in an engine's folder
REFITTABLE = "refittable"
CAPTURABLE = "capturable_of_one_size"  # takes no memory of its own while it runs, which CUDA graphs forbid
_TURING = "sm75"
_OLDEST = 75
_REQUIRED_SM = re.compile(r"sm(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What tells the two libraries apart."""

    module: str
    title: str
    distributions: tuple[str, ...]  # that bring the module; the first is the one to install
    extra: str
    targets: tuple[str, ...] = ()  # that can be built for without the GPU
    flags: tuple[str, ...] = ()  # beyond what both have

    def version(self) -> str | None:
        """Give the installed version, or None."""
        for name in self.distributions:
            try:
                return metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return None


RTX = Library(
    module="tensorrt_rtx",
    title="TensorRT-RTX",
    distributions=("tensorrt_rtx_cu13", "tensorrt_rtx_cu12", "tensorrt_rtx"),
    extra="tensorrt-rtx",
    targets=(_TURING, "sm80", "sm86", "sm89", "sm120", "sm121"),
    flags=(CAPTURABLE,),
)
FULL = Library(
    module="tensorrt",
    title="TensorRT",
    distributions=("tensorrt", "tensorrt_cu13", "tensorrt_cu12"),
    extra="tensorrt",
)


@dataclass(frozen=True, slots=True)
class TensorRt:
    """Builds and opens engines with one of the libraries; `limit_bytes` bounds the memory of a build."""

    library: Library
    limit_bytes: int | None = None
    refits: bool = True  # whether engines are built to take other weights, where the GPU is there

    def version(self) -> str:
        """Give `tensorrt_rtx 1.7.1.116`."""
        return f"{self.library.module} {self.library.version()}"

    def target(self, device: str) -> str:
        """Give the GPU's compute capability, `sm89`; for a device without one, the device."""
        return _capability(device) or device.partition(":")[0]

    def targets(self) -> tuple[str, ...]:
        """Give the GPUs that can be built for without having them; TensorRT has none but the one here."""
        here = _capability("cuda")
        return self.library.targets or ((here,) if here else ())

    def flags(self) -> tuple[str, ...]:
        """Give what is switched on beyond the library's defaults."""
        return ("strongly_typed", *self.library.flags)

    def flags_for(self, target: str) -> tuple[tuple[str, ...], ...]:
        """Say of engines for the GPU that is here that they take other weights, if they do; others serve there, too."""
        if self._refittable(target):
            return (*self.flags(), REFITTABLE), self.flags()
        return (self.flags(),)

    def build(
        self,
        network: Network,
        profile: Profile,
        target: str,
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        """Write `engine.plan` into `out`, built by another process that ends when `report` raises.

        Raises EngineBuildError for an unknown or too old GPU, a type that it does not compute in, memory
        that does not suffice, and whatever the library refuses.
        """
        capabilities = self._capabilities(network, target)
        report("export the graph", None)
        order = {
            "library": self.library.module,
            "onnx": str(network.onnx()),
            "plan": str(out / PLAN),
            "capabilities": capabilities,
            "shapes": ranges(network, profile),
            "refittable": self._refittable(target),
            "capturable": CAPTURABLE in self.library.flags and is_one_size(profile),
        }
        self._done(_BUILDER, order, report, network=network, target=target)

    def refit(
        self,
        network: Network,
        engine: Path,
        target: str,
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        """Write `engine.plan` into `out`: that of `engine`, with the weights of `network`; on its GPU alone."""
        if why := self.unable(target, "cuda"):
            raise self._failed(network, target, why)
        report("export the graph", None)
        order = {
            "library": self.library.module,
            "onnx": str(network.onnx()),
            "from": str(engine / PLAN),
            "plan": str(out / PLAN),
        }
        self._done(_REFITTER, order, report, network=network, target=target)

    def _done(
        self,
        module: str,
        order: Mapping[str, Any],
        report: Callable[[str, float | None], None],
        *,
        network: Network,
        target: str,
    ) -> None:
        """Have a process do what `order` says; its words are an EngineBuildError's."""
        chosen = {"POLYGRAPHY_USE_TENSORRT_RTX": str(int(self.library is RTX))}
        try:
            supervised(module, order, report, environment=chosen, limit_bytes=self.limit_bytes)
        except EngineBuildError as error:
            raise self._failed(network, target, str(error)) from error

    def unable(self, target: str, device: str) -> str | None:
        """Say why an engine for `target` does not run on `device`: no NVIDIA GPU, or another one."""
        here = _capability(device)
        if here is None:
            return f"{self.library.title} engines run on NVIDIA GPUs, and this machine computes on '{device}'"
        if here != target:
            return f"the engine is built for {target}, and the GPU here is {here}"
        return None

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> CompiledNetwork:
        """Load the plan onto the GPU; raises EngineOpenError."""
        file = engine / PLAN
        if not file.is_file():
            raise EngineOpenError(f"there is no {PLAN} in {engine}; remove the engine and build it anew")
        if _capability(device) is None:
            raise EngineOpenError(f"{file}: {self.unable('', device)}")
        from .tensorrt_running import OpenEngine

        return OpenEngine(self.library.module, file, network, profile, device)

    def _refittable(self, target: str) -> bool:
        return self.refits and target == _capability("cuda")

    def _capabilities(self, network: Network, target: str) -> tuple[str, ...]:
        """Give the builder's names of the GPUs to build for; none means the one that is here."""
        here = _capability("cuda")
        if (
            target == _TURING
            and target in self.library.targets
            and network.precision is not Precision.FLOAT16
        ):
            raise self._failed(
                network, target, f"{target} computes in float16 alone, not in {network.precision}"
            )
        if target in self.library.targets:
            return (target.upper(),)
        found = _REQUIRED_SM.fullmatch(target)
        if found is not None and int(found[1]) < _OLDEST:
            raise self._failed(network, target, f"the GPU is too old; the oldest that works is {_TURING}")
        if target != here or found is None:
            known = did_you_mean(target, self.targets())
            raise self._failed(
                network, target, f"it is not a GPU that {self.library.title} builds for here; {known}"
            )
        return ("CURRENT",) if self.library.targets else ()

    def _failed(self, network: Network, target: str, why: str) -> EngineBuildError:
        return EngineBuildError(
            f"{self.library.title} cannot build the {network.component} for '{target}': {why.rstrip('.')}."
        )


def _capability(device: str) -> str | None:
    """Give `sm89` for a device that is an NVIDIA GPU of this machine."""
    import torch

    if not device.startswith("cuda") or not torch.cuda.is_available() or torch.version.cuda is None:
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm{major}{minor}"


def _missing(library: Library) -> str | None:
    if find_spec(library.module) is None or library.version() is None:
        return f"{library.title} is not installed; `pip install 'stretto[{library.extra}]'` installs it"
    if not library.targets and not _has_gpu():
        return f"{library.title} builds on the NVIDIA GPU that it builds for, and there is none; `tensorrt_rtx` needs none"
    return None


def _has_gpu() -> bool:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    try:
        return bool(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def offers(*, refits: bool = True) -> tuple[CompilerSpec, ...]:
    """Give the two compilers; `refits` says whether their engines take other weights, where they can."""
    return tuple(
        CompilerSpec(
            name=library.module,
            title=library.title,
            build=partial(TensorRt, library, refits=refits),
            components=tuple(Component),
            precisions=(Precision.FLOAT16, Precision.BFLOAT16, Precision.FLOAT32),
            missing=partial(_missing, library),
        )
        for library in (FULL, RTX)
    )


OFFERS = offers()
