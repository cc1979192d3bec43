"""What weights there are and which of them make one loaded model."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

__all__ = ["Difference", "Family", "ModelSpec", "Patch", "Precision", "Role", "WeightFile", "WeightKind"]


class Family(StrEnum):
    """The architecture of a diffusion model, as diffusers' pipelines distinguish them."""

    SD1 = "sd1"
    SD2 = "sd2"
    SDXL = "sdxl"
    SDXL_REFINER = "sdxl-refiner"


class WeightKind(StrEnum):
    """What a file or folder of weights holds."""

    DIFFUSERS = "diffusers"  # a folder in diffusers' layout, with model_index.json
    CHECKPOINT = "checkpoint"  # one file with UNet, VAE and text encoders
    UNET = "unet"  # a folder with nothing else in it
    VAE = "vae"
    LORA = "lora"
    LYCORIS = "lycoris"
    INVERSION = "inversion"
    CONTROLNET = "controlnet"
    UPSCALER = "upscaler"
    BACKGROUND = "background"
    PREPROCESSOR = "preprocessor"
    SAFETY = "safety-checker"  # the folder of that name is one checker


class Role(StrEnum):
    """What a model does in an invocation."""

    BASE = "base"
    REFINER = "refiner"
    INPAINTER = "inpainter"
    CONTROLNET = "controlnet"
    SAFETY = "safety"


class Precision(StrEnum):
    """The floating-point type that the networks compute in."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """A file (or diffusers folder) of weights, known by its content rather than its name.

    `fingerprint` is the sha256 of the safetensors headers with sizes and 128 KiB of samples spread
    over the tensors, so it costs milliseconds. `sha256` is of the whole file, and is known once a job has drawn
    with it; a folder's is that of the lines `sha256sum` prints of its weights. `in_channels` is the UNet's: 4, or 9
    for an inpainting model.
    """

    path: str
    kind: WeightKind
    family: Family | None = None
    name: str = ""
    in_channels: int = 4
    prediction_type: str | None = None
    size_px: int | None = None
    size_bytes: int = 0
    fingerprint: str = ""
    parts_from: WeightFile | None = None  # a UNet alone has VAE, text encoders and scheduler from this model
    sha256: str = field(default="", compare=False)  # known or not, the load is the same

    @property
    def companion(self) -> Path:
        """Give the folder beside a single file, `<stem>.config`, that may say what a checkpoint cannot.

        It has diffusers' layout (`unet/config.json`, `tokenizer/`, ...), any part of it.
        """
        return Path(self.path).with_suffix(".config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A change of a loaded model for the time of one diffusion: LoRA, LyCORIS or textual inversion."""

    kind: WeightKind
    file: WeightFile
    weight: float = 1.0  # how much of it; 0 is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What `model` has learnt beyond `base`, for adding to the weights of a third model."""

    model: WeightFile
    base: WeightFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """All that decides what gets loaded: equal specs share one load (the pool's key)."""

    role: Role
    weights: WeightFile
    vae: WeightFile | None = None
    precision: Precision | None = None
    difference: Difference | None = None  # added to the weights once they are loaded
