"""The twelve ControlNets by name, and what makes their control images: Canny, and controlnet-aux's networks.

Weights come from the model folders alone; nothing here fetches any.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le
from stretto.host import (
    ControlNetSpec,
    Family,
    HostView,
    Plan,
    Preprocessor,
    PreprocessorSpec,
    WeightFile,
    WeightsError,
    hookimpl,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Canny", "Detector", "Parameters", "register_controlnets", "register_preprocessors"]

V11 = "https://huggingface.co/lllyasviel/ControlNet-v1-1/resolve/main"
COLLECTION = "https://huggingface.co/lllyasviel/sd_control_collection/resolve/main"
ANNOTATORS = "https://huggingface.co/lllyasviel/Annotators/resolve/main"
POSES = "https://huggingface.co/lllyasviel/ControlNet/resolve/main/annotator/ckpts"
HUB, FILE = "https://huggingface.co", "resolve/main/diffusion_pytorch_model"
STEEPEST = 2040  # the gradient of white beside black, as OpenCV measures it: both directions of a Sobel of 3 x 3, summed
CELL_PX = 64  # detectors work in whole cells of so many pixels
LARGEST_PX = 1024  # the shorter side that they look at at most: twice what they were trained at

# Name -> title, its file of ControlNet 1.1 for SD 1.x, its file for SDXL, its preprocessor.
# `tile` and `inpaint` look at the picture itself.
NETS: Mapping[str, tuple[str, str, str, str | None]] = {
    "canny": ("Edges by Canny", "control_v11p_sd15_canny", "diffusers_xl_canny_full", "canny"),
    "mlsd": ("Straight lines", "control_v11p_sd15_mlsd", "mistoLine_fp16", "mlsd"),
    "hed": ("Soft edges", "control_v11p_sd15_softedge", "sargezt_xl_softedge", "hed"),
    "scribble": ("Scribbles", "control_v11p_sd15_scribble", "controlnet-scribble-sdxl-1.0", "scribble"),
    "tile": (
        "The picture itself, for details", "control_v11f1e_sd15_tile", "controlnet-tile-sdxl-1.0", None,
    ),
    "inpaint": (
        "The picture around what is repainted", "control_v11p_sd15_inpaint", "controlnet-inpaint-dreamer-sdxl", None,
    ),
    "depth": ("Depth", "control_v11f1p_sd15_depth", "diffusers_xl_depth_full", "depth"),
    "normal": (
        "Normals of surfaces", "control_v11p_sd15_normalbae", "noob-sdxl-controlnet-normal.fp16", "normal",
    ),
    "pose": ("Poses of people", "control_v11p_sd15_openpose", "thibaud_xl_openpose", "pose"),
    "pidi": ("Soft edges by PiDiNet", "control_v11p_sd15_softedge", "sargezt_xl_softedge", "pidi"),
    "line": ("Line art", "control_v11p_sd15_lineart", "mistoLine_fp16", "line"),
    "anime": ("Line art of drawn figures", "control_v11p_sd15s2_lineart_anime", "mistoLine_fp16", "anime"),
}  # fmt: skip
# Folders of diffusers for SDXL that serve as well, as their repositories are called.
FOLDERS = {
    "diffusers_xl_canny_full": ("controlnet-canny-sdxl-1.0",),
    "diffusers_xl_depth_full": ("controlnet-depth-sdxl-1.0",),
    "mistoLine_fp16": ("MistoLine",),
    "noob-sdxl-controlnet-normal.fp16": ("noob-sdxl-controlnet-normal",),
    "sargezt_xl_softedge": ("controlnet-sd-xl-1.0-softedge-dexined",),
    "thibaud_xl_openpose": ("controlnet-openpose-sdxl-1.0",),
}
# Where a file for SDXL is published, if not in the collection.
ELSEWHERE = {
    "controlnet-inpaint-dreamer-sdxl": f"{HUB}/destitech/controlnet-inpaint-dreamer-sdxl/{FILE}.fp16.safetensors",
    "controlnet-scribble-sdxl-1.0": f"{HUB}/xinsir/controlnet-scribble-sdxl-1.0/{FILE}.safetensors",
    "controlnet-tile-sdxl-1.0": f"{HUB}/xinsir/controlnet-tile-sdxl-1.0/{FILE}.safetensors",
    "mistoLine_fp16": f"{HUB}/TheMistoAI/MistoLine/resolve/main/mistoLine_fp16.safetensors",
    "noob-sdxl-controlnet-normal.fp16": f"{HUB}/Eugeoter/noob-sdxl-controlnet-normal/{FILE}.fp16.safetensors",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aux:
    """A detector of controlnet-aux: module and class, its files with their URLs, and how it is called."""

    title: str
    kind: str
    files: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)


def _annotator(*names: str) -> dict[str, str]:
    return {name: f"{ANNOTATORS}/{name}" for name in names}


DETECTORS: Mapping[str, _Aux] = {
    "mlsd": _Aux(
        title="Straight lines by M-LSD", kind="mlsd.MLSDdetector", files=_annotator("mlsd_large_512_fp32.pth")
    ),
    "hed": _Aux(title="Soft edges by HED", kind="hed.HEDdetector", files=_annotator("ControlNetHED.pth")),
    "scribble": _Aux(
        title="Scribbles, of HED's edges",
        kind="hed.HEDdetector",
        files=_annotator("ControlNetHED.pth"),
        options={"scribble": True},
    ),
    "depth": _Aux(
        title="Depth by MiDaS", kind="midas.MidasDetector", files=_annotator("dpt_hybrid-midas-501f0c75.pt")
    ),
    "normal": _Aux(
        title="Normals of surfaces", kind="normalbae.NormalBaeDetector", files=_annotator("scannet.pt")
    ),
    "pose": _Aux(
        title="Poses by OpenPose",
        kind="open_pose.OpenposeDetector",
        files={
            "body_pose_model.pth": f"{POSES}/body_pose_model.pth",
            "hand_pose_model.pth": f"{POSES}/hand_pose_model.pth",
            **_annotator("facenet.pth"),
        },
    ),
    "pidi": _Aux(
        title="Soft edges by PiDiNet", kind="pidi.PidiNetDetector", files=_annotator("table5_pidinet.pth")
    ),
    "line": _Aux(
        title="Line art", kind="lineart.LineartDetector", files=_annotator("sk_model.pth", "sk_model2.pth")
    ),
    "anime": _Aux(
        title="Line art of drawn figures",
        kind="lineart_anime.LineartAnimeDetector",
        files=_annotator("netG.pth"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Which edges `canny` finds, wherever an invocation has it make the control image."""

    low_threshold: Annotated[int, Ge(0), Le(STEEPEST)] = field(
        default=100,
        metadata={
            "description": "How steep a gradient is at least that goes on with an edge. Less follows edges further."
        },
    )
    high_threshold: Annotated[int, Ge(0), Le(STEEPEST)] = field(
        default=200,
        metadata={
            "description": "How steep a gradient is at least that is an edge. Less finds more of them."
        },
    )

    def __post_init__(self) -> None:
        """Refuse thresholds the wrong way round."""
        if self.low_threshold > self.high_threshold:
            raise ValueError(
                f"low_threshold {self.low_threshold} is above high_threshold {self.high_threshold}"
            )


@hookimpl
def register_controlnets() -> Iterable[ControlNetSpec]:
    """Offer the twelve names, each for SD 1.x and SDXL."""
    return [_controlnet(name, *parts) for name, parts in NETS.items()]


@hookimpl
def register_preprocessors() -> Iterable[PreprocessorSpec]:
    """Offer Canny, which needs no weights, and the detectors, which need theirs."""
    return [
        PreprocessorSpec(name="canny", title="Edges by Canny", open=_open_canny, adjusted=_adjusted_canny),
        *(
            PreprocessorSpec(name=name, title=aux.title, files=aux.files, open=partial(_open_detector, name))
            for name, aux in DETECTORS.items()
        ),
    ]


def _controlnet(name: str, title: str, small: str, large: str, preprocessor: str | None) -> ControlNetSpec:
    return ControlNetSpec(
        name=name,
        title=title,
        weights={
            Family.SD1: (f"{small}.pth", f"{small}.safetensors", f"{small}_fp16.safetensors", small),
            Family.SDXL: (f"{large}.safetensors", *FOLDERS.get(large, ()), large),
        },
        sources={
            Family.SD1: f"{V11}/{small}.pth",
            Family.SDXL: ELSEWHERE.get(large, f"{COLLECTION}/{large}.safetensors"),
        },
        preprocessor=preprocessor,
    )


@dataclass(frozen=True, slots=True)
class Canny:
    """Finds edges (Canny 1986): white on black, one pixel wide.

    A gradient between the two thresholds is part of an edge if it touches one above the upper.
    """

    thresholds: Parameters = Parameters()

    def processed(self, image: Image) -> Image:
        """Give the edges of an RGB picture."""
        import cv2
        import numpy as np
        from PIL import Image as Pictures

        low, high = self.thresholds.low_threshold, self.thresholds.high_threshold
        edges = cv2.Canny(np.ascontiguousarray(image.convert("RGB")), low, high)
        return Pictures.fromarray(np.stack([edges] * 3, axis=-1))


def _open_canny(_weights: tuple[WeightFile, ...], _device: str) -> Preprocessor:
    return Canny()


def _adjusted_canny(_opened: Preprocessor, host: HostView, plan: Plan) -> Preprocessor:
    return Canny(host.plugin_parameters("controls", Parameters, plan))


@dataclass(frozen=True, slots=True)
class Detector:
    """One of controlnet-aux's networks; looks at a picture in its own size, in whole cells of 64 pixels.

    A picture whose shorter side is above 1024 px is looked at with that side at 1024 px, so that
    memory does not grow with it.
    """

    detect: Callable[..., Any]
    options: Mapping[str, Any]

    def processed(self, image: Image) -> Image:
        """Give what the network finds in an RGB picture, in its size."""
        from PIL import Image as Pictures

        side = max(CELL_PX, min(*image.size, LARGEST_PX))
        with _quiet():
            found = self.detect(
                image, detect_resolution=side, image_resolution=side, output_type="pil", **self.options
            )
        fitted: Image = found.convert("RGB").resize(image.size, Pictures.Resampling.BILINEAR)
        return fitted


def _open_detector(name: str, weights: tuple[WeightFile, ...], device: str) -> Preprocessor:
    """Open a detector; raises WeightsError naming files that are not its own."""
    from importlib import import_module

    aux = DETECTORS[name]
    module, _, kind = aux.kind.partition(".")
    paths = [Path(file.path) for file in weights]
    try:
        with _quiet():
            detector = getattr(import_module(f"controlnet_aux.{module}"), kind)
            made = detector.from_pretrained(str(paths[0].parent), local_files_only=True)
    except (AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError,
            pickle.UnpicklingError) as error:  # fmt: skip
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        listed = ", ".join(str(path) for path in paths)
        raise WeightsError(
            f"{listed} cannot be opened as {aux.title}: {reason}; download it again"
        ) from error
    return Detector(made.to(device), aux.options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what controlnet-aux prints, and its warnings (older names of timm and torch), from the log."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield
