"""An invocation, resolved: the same plan over the same weights makes the same image.

A plan is what history shows and what PNG files carry, so its fields keep the contract's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..geometry import Window, cells_under, round_up
from .acceleration import Acceleration, Build, acceleration_json
from .costs import Spent
from .images import ImageRef
from .models import Difference, ModelSpec, Patch, Precision, Role, WeightFile
from .plain import plain
from .record import node_json, upscale_json
from .refining import Refining
from .request import Adapter, Anchor, Fit, RegionMode

__all__ = [
    "Bounds",
    "Chunking",
    "Control",
    "Follower",
    "Node",
    "Plan",
    "Preprocessing",
    "Rediffusion",
    "Region",
    "Remainder",
    "Remover",
    "UpscaleStage",
]

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A rectangle in pixels; right and bottom edges are outside."""

    left: int
    top: int
    right: int
    bottom: int

    def to_json(self) -> list[list[int]]:
        """Give the contract's `[[x0, y0], [x1, y1]]`."""
        return [[self.left, self.top], [self.right, self.bottom]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """Windows of `size_px` that move by `stride_px`, feathered over `blur_px`; stride 0 = one window.

    On the axes (x, y) of `tile` the canvas goes on at its other end.
    """

    size_px: int
    stride_px: int
    blur_px: int
    tile: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What makes a control image of a picture: the offer named `method`, with the files of its networks."""

    method: str
    weights: tuple[WeightFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One ControlNet over a node: what it follows, how closely, and from which share of the steps to which."""

    controlnet: str  # the offer's name, or a file's
    weights: WeightFile
    image: ImageRef  # fitted like the node's image
    preprocessing: Preprocessing | None = None  # None: the image is taken as it is
    invert: bool = False
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    of_child: bool = False  # follows the picture of the node's first child instead of the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """A ControlNet over a picture that is drawn over: it follows that picture, processed."""

    controlnet: str
    weights: WeightFile
    preprocessing: Preprocessing | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of a node with words of its own, denoised together with all others; bounds are the node's pixels."""

    bounds: Bounds
    prompt: str
    negative_prompt: str
    guidance_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One diffusion over one rectangle of the canvas."""

    bounds: Bounds
    width: int
    height: int
    prompt: str
    negative_prompt: str
    num_inference_steps: int
    guidance_scale: float
    strength: float
    image: ImageRef | None = None
    fit: Fit | None = None
    anchor: Anchor | None = None
    scale_to_model_size: bool = False
    remove_background: bool = False  # of what was drawn, or with the next one of the image before
    fill_background: bool = False  # what the image's removed background leaves empty is painted
    mask: ImageRef | None = None  # fitted like the image; white is repainted
    invert_mask: bool = False
    outpaint: bool = False  # what the image leaves empty is painted too
    crop: Bounds | None = None  # the part of the node that is drawn; None: all of it
    draw_width: int | None = None  # drawn at this size and scaled back; None: as it is, in whole cells
    draw_height: int | None = None
    refining: Refining | None = None  # by the plan's refiner; None: as it is drawn
    controls: tuple[Control, ...] = ()
    regions: tuple[Region, ...] = ()  # its own words are for what none of them covers
    children: tuple[Node, ...] = ()  # drawn first, one picture; that of the first is used as the image
    paste: bool = False  # nothing is drawn: the image is laid as it is
    seed_offset: int = 0  # from the plan's seed

    @property
    def paints(self) -> bool:
        """Say whether only a part of the image is repainted."""
        return self.mask is not None or self.outpaint

    @property
    def parted_at(self) -> float | None:
        """Say at what share of the steps the refiner takes over; None if the base model finishes."""
        return None if self.refining is None else self.refining.start

    @property
    def drawn(self) -> Bounds:
        """Give the part of the node that is drawn, in its own pixels."""
        return self.crop or Bounds(left=0, top=0, right=self.width, bottom=self.height)

    @property
    def areas(self) -> tuple[Window, ...]:
        """Give the latent cells of each region."""
        boxes = (region.bounds for region in self.regions)
        return tuple(cells_under(box.left, box.top, box.right, box.bottom) for box in boxes)

    @property
    def canvas_px(self) -> tuple[int, int]:
        """Give the size to draw at, (height, width), in whole latent cells."""
        area = self.drawn
        height, width = area.bottom - area.top, area.right - area.left
        return self.draw_height or round_up(height), self.draw_width or round_up(width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rediffusion:
    """How an enlarged picture is drawn over again, as image-to-image; `scale_*` are only a record."""

    prompt: str
    negative_prompt: str
    num_inference_steps: int
    guidance_scale: float
    strength: float
    chunking_size: int
    chunking_blur: int
    scale_chunking_size: bool = True
    scale_chunking_blur: bool = True
    control: Follower | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleStage:
    """One enlargement by `amount` with the upscaler named `method`, or with the network in `weights`."""

    method: str
    amount: int
    weights: WeightFile | None = None
    diffusion: Rediffusion | None = None
    beside: tuple[WeightFile, ...] = ()  # further files that the upscaler needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Remover:
    """What tells a subject from its background: the offer named `method`, with its network if it has one."""

    method: str
    weights: WeightFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What nodes leave empty is painted as `node` says, reaching `feather_px` into what they drew."""

    node: Node
    feather_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole invocation with every choice made."""

    model: WeightFile
    size: int
    width: int
    height: int
    seed: int
    samples: int
    prompt: str
    negative_prompt: str
    nodes: tuple[Node, ...]
    scheduler: str | None  # None: the model's own
    multi_scheduler: str | None
    chunking_size: int
    chunking_blur: int
    vae: WeightFile | None = None
    vae_name: str | None = None
    precision: Precision | None = None  # None: the best that the device has
    upscale: tuple[UpscaleStage, ...] = ()
    region_mode: RegionMode = "paste"  # "latent": prompt regions are denoised together
    remainder: Remainder | None = None  # None: nodes leave nothing empty, or it stays so
    remove_background: bool = False  # of the whole picture, when its nodes are laid
    remover: Remover | None = None  # for every node with remove_background
    lora: tuple[Adapter, ...] = ()
    lycoris: tuple[Adapter, ...] = ()
    inversion: tuple[Adapter, ...] = ()
    inpainter: WeightFile | None = None  # None: the base model fills masks itself
    inpainter_difference: Difference | None = None  # what makes it fill masks as the base would
    inpainter_size: int | None = None
    refiner: WeightFile | None = None
    refiner_size: int | None = None
    patches: tuple[Patch, ...] = ()  # those three, found: in the order in which they are applied
    checker: WeightFile | None = None  # what withholds unsafe pictures; None: nothing does
    intermediates: bool = True
    image_callback_steps: int = 10
    acceleration: Acceleration | None = None  # None: torch draws
    engine_profile: Literal["static", "range"] | None = None  # None: the compiler's own policy
    builds: tuple[Build, ...] = ()  # engines to build, and nothing is drawn
    clip_skip: int = 0  # layers at the text encoders' ends that are not listened to; the refiner's are all
    iterations: int = 1  # runs one after the other, of `samples` pictures each, run i with seed + i
    tile: tuple[bool, bool] = (False, False)  # the axes (x, y) on which the picture goes on at its other end
    noise_offset: float = 0.0
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # their parameters, by plugin
    notes: tuple[str, ...] = ()  # what planning chose in the caller's place, and why
    costs: tuple[Spent, ...] = ()  # what plugins took of the job, written at its end
    version: int = PLAN_VERSION

    def base(self) -> ModelSpec:
        """Say what to load for the main diffusion."""
        return ModelSpec(role=Role.BASE, weights=self.model, vae=self.vae, precision=self.precision)

    @property
    def composed(self) -> bool:
        """Say whether pictures are laid together on a canvas, more than one node that covers all of it."""
        whole = Bounds(left=0, top=0, right=self.width, bottom=self.height)
        parts = any(node.paste or node.bounds != whole for node in self.nodes)
        return len(self.nodes) > 1 or parts or self.remainder is not None

    def draws(self, node: Node) -> ModelSpec:
        """Say what to load for one node: the inpainter where there is one and something to fill."""
        base = self.base()
        if not node.paints or self.inpainter is None:
            return base
        vae = base.vae if self.inpainter.family == self.model.family else None
        return replace(
            base, role=Role.INPAINTER, weights=self.inpainter, vae=vae, difference=self.inpainter_difference
        )

    def refines(self) -> ModelSpec:
        """Say what to load over finished pictures: the refiner, or the base model where there is none."""
        if self.refiner is None:
            return self.base()
        vae = self.vae if self.refiner.family == self.model.family else None
        return replace(self.base(), role=Role.REFINER, weights=self.refiner, vae=vae)

    def wording(self, spec: ModelSpec, negative: str, positive: str) -> tuple[str, str, int]:
        """Give the words for a model of this plan, with how many layers of its text encoders are skipped."""
        return negative, positive, 0 if spec.role is Role.REFINER else self.clip_skip

    def runs(self) -> tuple[Plan, ...]:
        """Give a plan for each iteration: the same with a seed of its own."""
        return tuple(replace(self, seed=self.seed + i, iterations=1) for i in range(self.iterations))

    def engine_px(self, node: Node) -> int:
        """Give the side in pixels of the windows over one node."""
        return self.inpainter_size or self.size if node.paints else self.size

    def chunking(self, node: Node) -> Chunking:
        """Say how windows move over the canvas of one node."""
        return Chunking(
            size_px=self.engine_px(node),
            stride_px=self.chunking_size,
            blur_px=self.chunking_blur,
            tile=self.tiled(node),
        )

    def tiled(self, node: Node) -> tuple[bool, bool]:
        """Say on which axes (x, y) a node goes on at its other end: where it is drawn from border to border."""
        drawn, bounds = node.drawn, node.bounds
        across = (drawn.left, drawn.right, bounds.left, bounds.right) == (0, self.width, 0, self.width)
        down = (drawn.top, drawn.bottom, bounds.top, bounds.bottom) == (0, self.height, 0, self.height)
        return self.tile[0] and across, self.tile[1] and down

    def patches_of(self, spec: ModelSpec) -> tuple[Patch, ...]:
        """Say what changes a model of this plan: the base, and an inpainter of its family."""
        drawing = spec.role in (Role.BASE, Role.INPAINTER)
        return self.patches if drawing and spec.weights.family == self.model.family else ()

    def with_note(self, note: str) -> Plan:
        """Give the plan with one more line in its record."""
        return replace(self, notes=(*self.notes, note))

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values: the contract's keys first, then what is ours under `resolved`."""
        return {
            "model": self.model.name or self.model.path,
            "refiner": None if self.refiner is None else self.refiner.name or self.refiner.path,
            "inpainter": None if self.inpainter is None else self.inpainter.name or self.inpainter.path,
            "lora": [plain(adapter) for adapter in self.lora],
            "lycoris": [plain(adapter) for adapter in self.lycoris],
            "inversion": [adapter.model for adapter in self.inversion],
            "scheduler": self.scheduler,
            "multi_scheduler": self.multi_scheduler,
            "vae": self.vae_name,
            "width": self.width,
            "height": self.height,
            "size": self.size,
            "inpainter_size": self.inpainter_size,
            "refiner_size": self.refiner_size,
            "seed": self.seed,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "image": None,
            "image_callback_steps": self.image_callback_steps if self.intermediates else None,
            "nodes": [node_json(node) for node in self.nodes],
            "samples": self.samples,
            "upscale": upscale_json(self.upscale),
            "chunking_size": self.chunking_size,
            "chunking_blur": self.chunking_blur,
            "build_tensorrt": self.acceleration is not None and self.acceleration.build,
            "acceleration": acceleration_json(self.acceleration),
            "resolved": plain(self),
        }
