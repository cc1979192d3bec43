"""An invocation, resolved: the same plan over the same weights makes the same image.

A plan is what history shows and what PNG files carry, so its fields keep the contract's names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from .images import ImageRef
from .models import ModelSpec, Precision, Role, WeightFile
from .request import Adapter, Anchor, Fit

__all__ = ["Bounds", "Chunking", "Diffuse", "Node", "Plan", "Save", "Step", "Upscale", "UpscaleStage"]

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
    """Windows of `size_px` that move by `stride_px`, feathered over `blur_px`; stride 0 = one window."""

    size_px: int
    stride_px: int
    blur_px: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleStage:
    """One enlargement by `amount` with the upscaler named `method`."""

    method: str
    amount: int


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
    lora: tuple[Adapter, ...] = ()
    lycoris: tuple[Adapter, ...] = ()
    inversion: tuple[Adapter, ...] = ()
    intermediates: bool = True
    image_callback_steps: int = 10
    build_tensorrt: bool = False
    notes: tuple[str, ...] = ()  # what planning chose in the caller's place, and why
    version: int = PLAN_VERSION

    def base(self) -> ModelSpec:
        """Say what to load for the main diffusion."""
        return ModelSpec(role=Role.BASE, weights=self.model, vae=self.vae, precision=self.precision)

    def chunking(self) -> Chunking:
        """Say how windows move over the canvas."""
        return Chunking(size_px=self.size, stride_px=self.chunking_size, blur_px=self.chunking_blur)

    def with_note(self, note: str) -> Plan:
        """Give the plan with one more line in its record."""
        return replace(self, notes=(*self.notes, note))

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values: the contract's keys first, then what is ours under `resolved`."""
        return {
            "model": self.model.name or self.model.path,
            "refiner": None,
            "inpainter": None,
            "lora": [asdict(adapter) for adapter in self.lora],
            "lycoris": [asdict(adapter) for adapter in self.lycoris],
            "inversion": [adapter.model for adapter in self.inversion],
            "scheduler": self.scheduler,
            "multi_scheduler": self.multi_scheduler,
            "vae": self.vae_name,
            "width": self.width,
            "height": self.height,
            "size": self.size,
            "inpainter_size": None,
            "refiner_size": None,
            "seed": self.seed,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "image": None,
            "image_callback_steps": self.image_callback_steps if self.intermediates else None,
            "nodes": [_node_json(node) for node in self.nodes],
            "samples": self.samples,
            "upscale": _upscale_json(self.upscale),
            "chunking_size": self.chunking_size,
            "chunking_blur": self.chunking_blur,
            "build_tensorrt": self.build_tensorrt,
            "resolved": asdict(self),
        }


def _node_json(node: Node) -> dict[str, Any]:
    return {
        "width": node.width,
        "height": node.height,
        "prompt": node.prompt,
        "negative_prompt": node.negative_prompt,
        "controlnet": None,
        "conditioning_scale": 1.0,
        "strength": node.strength,
        "num_inference_steps": node.num_inference_steps,
        "guidance_scale": node.guidance_scale,
        "remove_background": False,
        "scale_to_model_size": node.scale_to_model_size,
        "image": _image_json(node.image),
        "mask": None,
        "control_image": None,
        "children": [],
        "bounds": node.bounds.to_json(),
    }


def _image_json(image: ImageRef | None) -> dict[str, Any] | None:
    if image is None:
        return None
    return {"width": image.width, "height": image.height, "mode": image.mode, "filename": image.path}


def _upscale_json(stages: tuple[UpscaleStage, ...]) -> dict[str, Any] | None:
    if not stages:
        return None
    amount = 1
    for stage in stages:
        amount *= stage.amount
    return {
        "method": [stage.method for stage in stages],
        "amount": amount,
        "iterative": len(stages) > 1,
        "diffusion": False,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diffuse:
    """Draw one node: text-to-image, or image-to-image when the node has an image."""

    node: Node
    model: ModelSpec
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscale:
    """Enlarge every picture so far."""

    stage: UpscaleStage
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Write every picture to the image store, with the plan in its text chunks."""

    why: str


Step = Diffuse | Upscale | Save
