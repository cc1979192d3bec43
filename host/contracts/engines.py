"""Compiled engines: what a compiler is given, what it makes, and how that is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from stretto.trt_cache.keys import AxisRange

from .models import Precision

if TYPE_CHECKING:
    import torch

__all__ = [
    "AxisRange",
    "CompiledNetwork",
    "Compiler",
    "Component",
    "Network",
    "ParityReport",
    "Port",
    "Profile",
    "Refitter",
    "Targeted",
]

# The lengths of the named axes that an engine takes: "batch", "height", "width" (latent cells; pixels of
# the VAE encoder's picture), "tokens".
Profile = Mapping[str, AxisRange]


class Component(StrEnum):
    """A network of a model that can be compiled by itself."""

    UNET = "unet"  # 4 channels, 9 of an inpainting model
    CONTROLLED_UNET = "controlled_unet"  # takes the ControlNets' residuals, too
    CONTROLNET = "controlnet"
    VAE_ENCODER = "vae_encoder"  # gives the moments, (batch, 8, h/8, w/8)
    VAE_DECODER = "vae_decoder"
    TEXT_ENCODER = "text_encoder"
    TEXT_ENCODER_2 = "text_encoder_2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One input or output: its name, its type, and its shape, in which a word is a named axis.

    A named axis may be followed by a factor: "height*8" is 8 times as long as "height", "height/2" half.
    """

    name: str
    dtype: str  # "float32", "float16", "bfloat16", "int64"
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """How far an engine is from torch on the same inputs, over all outputs, and what was allowed.

    `psnr_db` is of a picture drawn in ten steps by both, where one could be drawn.
    """

    max_error: float
    mean_error: float
    cosine: float
    bound: float  # the largest `max_error` allowed, relative to the outputs' largest value
    passed: bool
    psnr_db: float | None = None
    why: str = ""  # in words, when it did not pass

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return asdict(self)


class Network(Protocol):
    """What a compiler is given: one network with fixed weights, as torch and as ONNX."""

    component: Component
    precision: Precision
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def module(self) -> torch.nn.Module:
        """Give a module that takes the inputs as positional tensors in their order and gives a tuple of tensors."""

    def onnx(self) -> Path:
        """Give the ONNX file, exported and cleaned at the first call; its external data lie beside it."""

    def sample(self, axes: Mapping[str, int], seed: int = 0) -> dict[str, torch.Tensor]:
        """Give inputs by name for these lengths of the axes, drawn from `seed`, on the network's device."""


@runtime_checkable
class CompiledNetwork(Protocol):
    """An engine that is open: calls run on its device."""

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Give the outputs in their order, on the device of the inputs; the inputs are only read.

        Outputs are overwritten by the next call where a library insists on buffers of its own.
        """

    def close(self) -> None:
        """Give back the memory; idempotent."""


@runtime_checkable
class Compiler(Protocol):
    """Turns networks into engines and opens them again."""

    def version(self) -> str:
        """Give the library and its version, `onnxruntime 1.31.1`; it goes into the key."""

    def target(self, device: str) -> str:
        """Give what engines for this machine's `device` (`cpu`, `cuda`) are built for; it goes into the key."""

    def targets(self) -> tuple[str, ...]:
        """Give the targets that can be named to build for another machine."""

    def flags(self) -> tuple[str, ...]:
        """Give the builder's flags that change what is built; they go into the key."""

    def build(
        self,
        network: Network,
        profile: Profile,
        target: str,
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        """Write the engine, one or several files, into the empty folder `out`.

        `report` hears a phase and how much of it is done, 0 to 1, where that is known; it may raise to stop
        the build. Raises EngineBuildError naming the component and the library's own words.
        """

    def unable(self, target: str, device: str) -> str | None:
        """Say why an engine for `target` cannot run on this machine's `device`; None where it can."""

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> CompiledNetwork:
        """Open what `build` wrote into the folder `engine`; raises EngineOpenError saying what is wrong with it.

        `network` tells inputs and outputs; its weights are not touched.
        """


@runtime_checkable
class Refitter(Protocol):
    """A compiler that can also put other weights into an engine that it has built, which takes less time than to build."""

    def refit(
        self,
        network: Network,
        engine: Path,
        target: str,
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        """Write into the empty folder `out` the engine of the folder `engine` with all weights of `network`.

        The two networks have one architecture. Raises EngineBuildError for an engine that keeps its weights,
        and where the device is not there that it is for.
        """


@runtime_checkable
class Targeted(Protocol):
    """A compiler whose flags depend on what it builds for."""

    def flags_for(self, target: str) -> tuple[tuple[str, ...], ...]:
        """Give the flags of engines that are built for `target`, then those of others that serve in their place.

        They go into the key instead of what `flags` gives, which is asked where no target is known.
        """
