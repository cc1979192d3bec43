"""What a caller asks for: every parameter of `POST /api/invoke`, typed, checked, not yet resolved.

Constraints stand in the annotations, so that the API validates and documents them with
pydantic while the host needs no pydantic. Names and defaults are the contract's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen

from .images import ImageRef

__all__ = ["INTERNAL", "Adapter", "ControlRequest", "InvocationRequest", "NodeRequest", "RegionMode"]

Anchor = Literal[
    "top-left", "top-center", "top-right",
    "center-left", "center-center", "center-right",
    "bottom-left", "bottom-center", "bottom-right",
]  # fmt: skip
Fit = Literal["actual", "contain", "cover", "stretch"]
Outscale = Literal[1, 2, 4, 8, 16]
RegionMode = Literal["paste", "latent"]
Pixels = Annotated[int, Ge(8), Le(16384)]
Prompt = Annotated[str, MaxLen(20000)]
Name = Annotated[str, MaxLen(1024)]  # of something that is offered, or of a file
Unit = Annotated[float, Ge(0.0), Le(1.0)]
Guidance = Annotated[float, Ge(0.0), Le(100.0)]
Steps = Annotated[int, Ge(1), Le(1000)]
Stride = Annotated[int, Ge(0), Le(16384)]
Place = Annotated[int, Ge(-16384), Le(16384)]
Extent = Annotated[int, Ge(1), Le(16384)]
Score = Annotated[float, Ge(0.0), Le(10.0)]
# SDXL's second text encoder has 32 layers, and no other one more.
ClipSkip = Annotated[int, Ge(0), Le(31)]
# Numpy's and torch's generators take 64-bit seeds; JSON numbers are exact to 2**53.
Seed = Annotated[int, Ge(0), Le(2**53 - 1)]


# Filled by the API, never by a caller.
INTERNAL = ("defaults", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA, LyCORIS or textual inversion by file name, with the weight it is applied at."""

    model: Name
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRequest:
    """One of several ControlNets; what is None is as the request has it for all.

    `start` and `end` are shares of the steps, between which it guides.
    """

    controlnet: Name
    image: ImageRef | None = None
    scale: Annotated[float, Ge(0.0), Le(10.0)] | None = None
    start: Unit = 0.0
    end: Unit = 1.0
    process: bool | None = None
    invert: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """One entry of `nodes`: a rectangle of the canvas and what is drawn or laid there.

    What is None is taken from the invocation.
    """

    x: Place = 0
    y: Place = 0
    w: Extent | None = None  # of the image, if there is one
    h: Extent | None = None
    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    image: ImageRef | None = None
    mask: ImageRef | None = None
    invert_mask: bool = False
    fit: Fit | None = None
    anchor: Anchor | None = None
    # what is done with the image; laid as it is if nothing
    infer: bool = False
    inpaint: bool | None = None  # if there is a mask
    control: bool | None = None  # if a ControlNet is named
    strength: Unit | None = None
    control_image: ImageRef | None = None
    controlnet: Name | None = None
    controlnets: tuple[ControlRequest, ...] = ()
    conditioning_scale: Annotated[float, Ge(0.0), Le(10.0)] | None = None
    process_control_image: bool | None = None
    invert: bool = False
    remove_background: bool = False
    fill_background: bool = False
    scale_to_model_size: bool = True
    crop_inpaint: bool | None = None
    inpaint_feather: Annotated[int, Ge(0), Le(1024)] | None = None
    seed: Seed | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Guidance | None = None
    refiner_start: Unit | None = None
    refiner_strength: Unit | None = None
    refiner_guidance_scale: Guidance | None = None
    refiner_aesthetic_score: Score | None = None
    refiner_negative_aesthetic_score: Score | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationRequest:
    """One call of `POST /api/invoke`; `None` means that the model or the setting decides."""

    # what to load
    model: Name | None = None
    model_type: Literal["checkpoint", "model", "diffusers"] | None = None
    size: Pixels | None = None
    refiner: Name | None = None
    refiner_size: Pixels | None = None
    inpainter: Name | None = None
    inpainter_size: Pixels | None = None
    lora: tuple[Adapter, ...] = ()
    lycoris: tuple[Adapter, ...] = ()
    inversion: tuple[Adapter, ...] = ()
    vae: Name | None = None
    precision: Literal["float32", "float16", "bfloat16", "full", "half"] | None = None
    acceleration: Name | None = None
    build_tensorrt: bool = False
    engine_profile: Literal["static", "range"] | None = None
    safe: bool | None = None
    # what to draw
    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    model_prompt: Prompt | None = None
    model_negative_prompt: Prompt | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    seed: Seed | None = None
    samples: Annotated[int, Ge(1), Le(64)] = 1
    iterations: Annotated[int, Ge(1), Le(100)] = 1
    num_inference_steps: Steps | None = None
    clip_skip: ClipSkip = 0
    guidance_scale: Guidance | None = None
    scheduler: Name | None = None
    multi_scheduler: Name | None = None
    chunking_size: Stride | None = None
    chunking_blur: Stride | None = None
    noise_offset: Unit = 0.0
    tile: tuple[bool, bool] = (False, False)  # x, y
    # input images
    image: ImageRef | None = None
    mask: ImageRef | None = None
    invert_mask: bool = False
    strength: Unit = 0.8
    fit: Fit | None = None
    anchor: Anchor | None = None
    control_image: ImageRef | None = None
    controlnet: Name | None = None
    controlnets: tuple[ControlRequest, ...] = ()
    conditioning_scale: Annotated[float, Ge(0.0), Le(10.0)] = 1.0
    process_control_image: bool = True
    invert_control_image: bool = False
    remove_background: bool = False
    fill_background: bool = False
    scale_to_model_size: bool = False
    crop_inpaint: bool = True
    inpaint_feather: Annotated[int, Ge(0), Le(1024)] = 32
    nodes: tuple[NodeRequest, ...] = ()
    region_mode: RegionMode = "paste"
    # refining and upscaling
    refiner_start: Unit | None = None
    refiner_strength: Unit = 0.3
    refiner_guidance_scale: Guidance = 5.0
    refiner_aesthetic_score: Annotated[float, Ge(0.0), Le(10.0)] = 6.0
    refiner_negative_aesthetic_score: Annotated[float, Ge(0.0), Le(10.0)] = 2.5
    outscale: Outscale = 1
    upscale: tuple[Name, ...] = ()
    upscale_iterative: bool = False
    upscale_diffusion: bool = False
    upscale_diffusion_steps: tuple[Steps, ...] = (100,)
    upscale_diffusion_guidance_scale: tuple[Guidance, ...] = (12.0,)
    upscale_diffusion_strength: tuple[Unit, ...] = (0.2,)
    upscale_diffusion_prompt: tuple[Prompt, ...] = ()
    upscale_diffusion_negative_prompt: tuple[Prompt, ...] = ()
    upscale_diffusion_controlnet: tuple[Name | None, ...] = ()
    upscale_diffusion_controlnet_scale: tuple[Annotated[float, Ge(0.0), Le(10.0)], ...] = (1.0,)
    upscale_diffusion_chunking_size: Stride | None = None
    upscale_diffusion_chunking_blur: Stride | None = None
    upscale_diffusion_scale_chunking_size: bool = True
    upscale_diffusion_scale_chunking_blur: bool = True
    # progress
    intermediates: bool = True
    image_callback_steps: Steps = 10
    # parameters of plugins, by plugin and by name
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    # what a stored model supplies under the explicit values above; filled by the API
    defaults: dict[str, Any] = field(default_factory=dict)
    # what the API read otherwise than it was written; the plan's first notes
    notes: tuple[str, ...] = ()
