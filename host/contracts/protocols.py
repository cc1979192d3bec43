"""The shapes that specs build and that hooks are handed; annotations only, nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from .acceleration import Build
from .events import Event
from .models import ModelSpec, Patch, Precision, WeightFile
from .plan import Plan
from .request import InvocationRequest
from .steps import Step

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ..settings import Folders, Settings

__all__ = [
    "BackgroundRemover",
    "Bench",
    "Frame",
    "HostView",
    "LoadedModel",
    "Loader",
    "Patcher",
    "Preprocessor",
    "Scheduler",
    "TilingUpscaler",
    "Upscaler",
]

T = TypeVar("T")
WITHHELD = "nsfw"  # the contract's word for a picture that the safety checker flags


class Scheduler(Protocol):
    """A diffusers scheduler, as far as the denoise loop needs one."""

    timesteps: torch.Tensor  # (n,), as the UNet takes them
    init_noise_sigma: float | torch.Tensor
    order: int
    config: Any

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Lay out `timesteps`."""

    def scale_model_input(self, sample: torch.Tensor, timestep: Any) -> torch.Tensor:
        """Scale noisy latents as the UNet expects them at `timestep`."""

    def add_noise(
        self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Noise clean latents to the level of `timesteps`."""

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, **kwargs: Any) -> Any:
        """Go one step from `timestep` towards clean latents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """The networks of one loaded model: diffusers' and transformers' own classes, in eval mode.

    `text_encoders` and `tokenizers` run in parallel: one pair for SD 1.x and 2.x, two for SDXL,
    only the second for the refiner. `scheduler_config` is the model's own. Of a ControlNet
    (`Role.CONTROLNET`) `unet` is the ControlNet, and there is nothing else.
    """

    spec: ModelSpec
    unet: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    scheduler_config: Mapping[str, Any]
    # model_index.json values that change the mathematics: force_zeros_for_empty_prompt,
    # requires_aesthetics_score
    options: Mapping[str, Any]
    patches: tuple[Patch, ...] = ()  # what the networks are changed by at the moment


@runtime_checkable
class Loader(Protocol):
    """Turns a weight file or folder into networks, offline."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether this loader reads `file`; looks at the value, opens nothing."""

    def load(self, spec: ModelSpec, precision: Precision, device: str) -> LoadedModel:
        """Load; raises WeightsError naming the file when it cannot be used."""


@runtime_checkable
class Patcher(Protocol):
    """Changes a loaded model and puts it back, to the bit."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether this patcher reads `file`; looks at the value, opens nothing."""

    def applied(
        self, model: LoadedModel, patch: Patch, note: Callable[[str], None]
    ) -> AbstractContextManager[LoadedModel]:
        """Give the model changed by `patch`; whatever happens, it is as before when the context ends.

        `note` writes a line into the job's record. Raises WeightsError naming the file and the
        family that it is for when it fits nothing of the model. Who changes a layer by a forward hook gives
        the hook's object `pending` and `merge()`, which puts the change into the layer's weights until the
        context ends: engines are built of weights alone.
        """


@runtime_checkable
class Upscaler(Protocol):
    """Enlarges pictures."""

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` enlarged `amount` times on both sides."""


@runtime_checkable
class TilingUpscaler(Protocol):
    """Enlarges pictures piece by piece, so that a job can be stopped between two."""

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` enlarged `amount` times on both sides."""

    def pieces(self, image: Image, amount: int) -> Iterator[tuple[Image, tuple[int, int]]]:
        """Give the parts of the enlarged picture, without gaps, each with its left and top pixel."""


@runtime_checkable
class BackgroundRemover(Protocol):
    """Tells a picture's subject from what is behind it."""

    def remove(self, image: Image) -> Image:
        """Give `image` as RGBA: its own colours, with what is behind the subject transparent."""


@runtime_checkable
class Preprocessor(Protocol):
    """Makes a control image of a picture: its edges, its depth, its poses."""

    def processed(self, image: Image) -> Image:
        """Give the control image of an RGB picture, RGB of the same size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The pictures so far (one a sample) and the file names that were saved."""

    images: tuple[Image, ...] = ()
    files: tuple[str, ...] = ()
    flagged: tuple[int, ...] = ()  # the samples that are withheld; blank pictures stand in their places
    layers: tuple[Any, ...] = ()  # the canvases that nodes are laid on (`host/engine/layers.py`)
    handed: Any = None  # unfinished latents, which a refiner goes on with (`host/engine/handing.py`)


class Bench(Protocol):
    """What a step works with: the device, the loaded models, and a way to tell how far it is."""

    job: str
    plan: Plan
    device: str
    precision: Precision
    folders: Folders
    host: HostView
    ahead: tuple[Step, ...]  # what is done after the step at work; the last one is `Save`

    def model(self, spec: ModelSpec) -> LoadedModel:
        """Load, or reuse, a model through the pool."""

    def tick(self, task: str, *, ticks: int = 1, rate: float | None = None) -> None:
        """Report progress ticks done; raises CancelledError if the job was stopped."""

    def preview(self, images: Callable[[], Sequence[Image]]) -> None:
        """Save intermediates and report them with the next tick."""

    def note(self, text: str) -> None:
        """Write a line into the job's record."""

    def cache(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """Give what was made under `key` before, or make it (text embeddings, mostly)."""

    def build(self, model: LoadedModel, build: Build, size_px: int) -> None:
        """Build an engine for windows of `size_px` pixels, unless it is there, and verify it where it can run."""

    def compiled(self, model: LoadedModel) -> AbstractContextManager[None]:
        """Send calls of the model's networks to compiled engines where the plan asks for them, while it lasts."""


class HostView(Protocol):
    """What the host shows to plugins: settings, folders, what is offered, and how to speak up."""

    version: str
    settings: Settings
    folders: Folders

    def offers(self, kind: str) -> Mapping[str, Any]:
        """Give the specs of one kind (`schedulers`, `models`, ...) by name, aliases excluded."""

    def offer(self, kind: str, name: str) -> Any:
        """Give one spec by name or alias; an unknown one raises with the nearest name."""

    def resolve_model(self, name: str, *, kinds: Sequence[str] = ()) -> WeightFile:
        """Find weights by name, file name or path inside the model folders."""

    def resolve_vae(self, name: str) -> WeightFile:
        """Find a VAE by offered name or file name."""

    def plugin_settings(self, name: str, into: type[T]) -> T:
        """Read the table `[plugins.NAME]` of plugins.toml into the plugin's own frozen dataclass."""

    def plugin_parameters(self, name: str, into: type[T], asked: InvocationRequest | Plan) -> T:
        """Read what a request or a plan says under `plugins: {NAME: {...}}` into the plugin's own frozen dataclass."""

    def publish(self, event: Event) -> None:
        """Tell everybody who observes."""
