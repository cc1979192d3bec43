"""The steps of an invocation: a closed union, matched with `match` and `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass

from .acceleration import Build
from .models import ModelSpec, WeightFile
from .plan import Node, Rediffusion, Remainder, Remover, UpscaleStage
from .refining import Refining

__all__ = [
    "CheckSafety",
    "Compile",
    "Diffuse",
    "Fill",
    "Flatten",
    "Lay",
    "Layering",
    "Paste",
    "Rediffuse",
    "Refine",
    "RemoveBackground",
    "Save",
    "Step",
    "Upscale",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diffuse:
    """Draw one node: text-to-image, or image-to-image when the node has an image."""

    node: Node
    model: ModelSpec
    why: str
    once: bool = False  # one picture, whatever the number of samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Refine:
    """Refine every picture of one node, or finish its latents, in windows of `size_px`."""

    node: Node
    refining: Refining
    model: ModelSpec
    size_px: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lay:
    """Take a node's image as it is, without its background if there is a remover."""

    node: Node
    remover: Remover | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paste:
    """Lay every picture of one node over the canvas of its sample."""

    node: Node
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """Paint what is empty of every canvas, and refine that; `ticks` for each canvas, even if nothing is."""

    remainder: Remainder
    model: ModelSpec
    refine: Refine | None
    ticks: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """Make pictures of the canvases that nodes were laid on."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscale:
    """Enlarge every picture so far."""

    stage: UpscaleStage
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rediffuse:
    """Draw every enlarged picture over again, one after the other, from the job's seed."""

    settings: Rediffusion
    model: ModelSpec
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBackground:
    """Make what is behind the subject of every picture transparent."""

    remover: Remover
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSafety:
    """Withhold every picture so far that the safety checker flags."""

    checker: WeightFile
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compile:
    """Build one engine of a model, and verify it where it can run."""

    build: Build
    model: ModelSpec
    size_px: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Write every picture to the image store, with the plan in its text chunks."""

    why: str


Layering = Lay | Paste | Fill | Flatten
Step = Diffuse | Refine | Layering | RemoveBackground | Upscale | Rediffuse | CheckSafety | Compile | Save
