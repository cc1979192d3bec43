"""What plugins offer: one frozen spec a thing, listable without loading anything heavy.

`build` is where a heavy import happens; making a spec must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .engines import Compiler, Component
from .models import Family, Precision, WeightFile
from .plan import Plan
from .protocols import BackgroundRemover, HostView, Loader, Patcher, Preprocessor, Scheduler, Upscaler
from .request import InvocationRequest

__all__ = [
    "BackgroundRemoverSpec",
    "CompilerSpec",
    "ControlNetSpec",
    "LoaderSpec",
    "ModelOffer",
    "PatcherSpec",
    "PreprocessorSpec",
    "SchedulerSpec",
    "Spec",
    "UpscalerSpec",
    "VaeSpec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The part that all offers share: a name for requests, a title for people, other names."""

    name: str
    title: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOffer(Spec):
    """A model that a plugin ships: a folder in diffusers' layout, with defaults of its own.

    A folder with a UNet alone says in `parts_from` which model has its VAE, text encoders and scheduler:
    an offered one, or one in the model folders. `inpainter` names the model that fills masks for this one.

    `defaults` holds request parameters (`chunking_size`, `scheduler`, ...) that apply under the
    caller's explicit values; `size_px` is the model's native side. `controlnets` are the paths of
    ControlNets made for this very model, by the names of offered ones that they stand in for.
    """

    path: str
    family: Family
    size_px: int
    defaults: Mapping[str, Any] = field(default_factory=dict)
    controlnets: Mapping[str, str] = field(default_factory=dict)
    parts_from: str | None = None
    inpainter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSpec(Spec):
    """A noise scheduler: `build` gets the model's own scheduler config (diffusers' keys)."""

    build: Callable[[Mapping[str, Any]], Scheduler]
    # A scheduler that draws noise of its own (SDE kinds) gets the job's seed through this key.
    seed_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeSpec(Spec):
    """A named VAE over local weights: the file names it is known by, and how it must decode."""

    files: tuple[str, ...]
    families: tuple[Family, ...]
    upcast: bool = False  # decode in float32 whatever the UNet computes in
    source: str = ""  # URL of the first of `files`


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpec(Spec):
    """A way to turn weight files into networks; the first whose `accepts` is true loads."""

    build: Callable[[], Loader]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatcherSpec(Spec):
    """A way to change a loaded model by a weight file; the first whose `accepts` is true does it."""

    build: Callable[[], Patcher]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscalerSpec(Spec):
    """An enlarger; `build` gets the device (`cpu`, `cuda`, ...).

    One that needs weights names the files of which it takes the first that is there, and where the
    first comes from; `open` then gets the file and the device instead. A spec with `open` and
    without `files` opens any other file in the upscaler folder, by its name. One that needs further
    files names them `beside`, with their URLs; `assemble` then gets all of those too, in their order.
    """

    build: Callable[[str], Upscaler] | None = None
    open: Callable[[WeightFile, str], Upscaler] | None = None
    files: tuple[str, ...] = ()
    source: str = ""  # URL of the first of `files`
    beside: Mapping[str, str] = field(default_factory=dict)
    assemble: Callable[[WeightFile, tuple[WeightFile, ...], str], Upscaler] | None = None
    missing: Callable[[], str | None] = lambda: None  # why it cannot work here, and what would do
    adjusted: Callable[[Upscaler, HostView, Plan], Upscaler] | None = None  # as a plan's parameters want it


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundRemoverSpec(Spec):
    """What finds a picture's subject: `build` gets the device, where no weights are needed.

    A network names its `files` in the `background` model folder, with `source`, the URL of the first;
    `open` gets the first one that is there, and the device. Where the `wanted` of some offers says of a request
    that they are, only those are asked.
    """

    open: Callable[[WeightFile, str], BackgroundRemover] | None = None
    files: tuple[str, ...] = ()
    source: str = ""
    build: Callable[[str], BackgroundRemover] | None = None
    wanted: Callable[[HostView, InvocationRequest], bool] | None = None
    adjusted: Callable[[BackgroundRemover, HostView, Plan], BackgroundRemover] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlNetSpec(Spec):
    """A named ControlNet over local weights in the `controlnet` model folder.

    `weights` are the names of files and of folders in diffusers' layout that serve, by family, the
    first one that is there; `sources` are the URLs of the first ones. `preprocessor` names the offer
    that makes its control image of a picture; None takes any picture as it is.
    """

    weights: Mapping[Family, tuple[str, ...]]
    sources: Mapping[Family, str]
    preprocessor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessorSpec(Spec):
    """A way to make control images: `open` gets its files, in the order of `files`, and the device.

    All of `files` are needed, from the `preprocessor` model folder; each comes with its URL. `adjusted` gives
    what was opened as the parameters of its plugin in a plan want it.
    """

    open: Callable[[tuple[WeightFile, ...], str], Preprocessor]
    files: Mapping[str, str] = field(default_factory=dict)
    adjusted: Callable[[Preprocessor, HostView, Plan], Preprocessor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerSpec(Spec):
    """A way to compile networks, for the `acceleration` parameter; `build` is where its library is imported.

    `missing` says why it cannot build here and what would do, without importing anything heavy.
    `profiled` is the default policy for shapes: "static" engines take one size, so that larger canvases
    are drawn in windows of it; "range" engines take all sizes of a range. Where it depends on what is built for,
    `profiled_for` gives it of a target, as the compiler says those.
    """

    build: Callable[[], Compiler]
    components: tuple[Component, ...]
    precisions: tuple[Precision, ...]
    profiled: Literal["static", "range"] = "static"
    missing: Callable[[], str | None] = lambda: None
    profiled_for: Callable[[str], Literal["static", "range"]] | None = None
