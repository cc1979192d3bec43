"""Removes backgrounds with rembg's networks, from ONNX files in the background folder; fetches nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stretto.host import (
    BackgroundRemover,
    BackgroundRemoverSpec,
    Fault,
    HostView,
    InvalidRequestError,
    InvocationRequest,
    WeightFile,
    WeightsError,
    hookimpl,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Cutter", "Parameters", "Settings", "register_background_removers"]

SOURCE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
Network = Literal[
    "isnet-general-use", "u2net", "silueta", "u2netp", "u2net_human_seg", "isnet-anime", "birefnet-general"
]  # fmt: skip
# Name -> title and file, as rembg calls and publishes them; the first one that is there is used.
NETWORKS: Mapping[Network, tuple[str, str]] = {
    "isnet-general-use": ("IS-Net, for anything, at 1024 px", "isnet-general-use.onnx"),
    "u2net": ("U2-Net, for anything, at 320 px", "u2net.onnx"),
    "silueta": ("U2-Net in 43 MB", "silueta.onnx"),
    "u2netp": ("U2-Net in 4 MB", "u2netp.onnx"),
    "u2net_human_seg": ("U2-Net, for people", "u2net_human_seg.onnx"),
    "isnet-anime": ("IS-Net, for drawn figures", "isnet-anime.onnx"),
    "birefnet-general": ("BiRefNet, for anything; slow and exact", "BiRefNet-general-epoch_244.onnx"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What finds the subject of a picture whose background is removed."""

    network: Literal["", Network] = field(
        default="",
        metadata={
            "description": "The one network that is offered; empty offers all, and takes the first one whose file is "
            "in the model folder `background`."
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What finds the subjects of an invocation whose backgrounds are removed."""

    network: Network | None = field(
        default=None,
        metadata={
            "description": "The network that does it, whose file must be in the model folder `background`. null takes "
            "the first one that is there."
        },
    )


@hookimpl
def register_background_removers(host: HostView) -> Iterable[BackgroundRemoverSpec]:
    """Offer rembg's networks, or the one that the settings name."""
    wanted = host.plugin_settings("backgrounds", Settings).network
    return [
        BackgroundRemoverSpec(
            name=name,
            title=title,
            files=(file, f"{name}.onnx") if file != f"{name}.onnx" else (file,),
            source=f"{SOURCE}/{file}",
            open=partial(_open, name),
            wanted=partial(_wanted, name, only=wanted),
        )
        for name, (title, file) in NETWORKS.items()
        if wanted in ("", name)
    ]


def _wanted(name: Network, host: HostView, request: InvocationRequest, *, only: str) -> bool:
    network = host.plugin_parameters("backgrounds", Parameters, request).network
    if network is not None and only not in ("", network):
        message = (
            f"'{network}' is not offered here, only '{only}'; [plugins.backgrounds] of plugins.toml says so"
        )
        raise InvalidRequestError([Fault(field="plugins.backgrounds.network", message=message)])
    return network == name


def _open(name: str, weights: WeightFile, device: str) -> BackgroundRemover:
    """Open the network; raises WeightsError naming a file that is not ONNX or not such a network."""
    kind = _session_class(name)
    import onnxruntime

    # the path stands in a subclass: rembg's own class would look in its home, and else download
    local = type(
        f"Local{kind.__name__}", (kind,), {"download_models": classmethod(lambda *_, **__: weights.path)}
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        return Cutter(local(name, options, providers=_providers(device)), Path(weights.path))
    except Exception as error:  # onnxruntime's errors have no parent of their own
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{weights.path} cannot be opened: {reason}; download it again") from error


def _providers(device: str) -> list[str]:
    """Say what onnxruntime computes with; it has CUDA only where its libraries are found."""
    import onnxruntime

    if device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _session_class(name: str) -> Any:
    with _without_compiling():
        from rembg.sessions import sessions

        return sessions[name]


@contextmanager
def _without_compiling() -> Iterator[None]:
    """Keep numba from compiling rembg's alpha matting, which is not used here: 40 to 65 s at first import."""
    before = os.environ.get("NUMBA_DISABLE_JIT")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NUMBA_DISABLE_JIT"]
        else:
            os.environ["NUMBA_DISABLE_JIT"] = before


@dataclass(frozen=True, slots=True)
class Cutter:
    """Removes backgrounds with one of rembg's sessions; colours stay as they are, also at edges."""

    session: Any
    path: Path

    def remove(self, image: Image) -> Image:
        """Give `image` as RGBA; what was transparent before stays at least as transparent."""
        import numpy as np
        from PIL import ImageChops

        colours = image.convert("RGB")
        with np.errstate(divide="ignore", invalid="ignore"):  # a network that sees nothing divides 0 by 0
            (mask, *_) = self.session.predict(colours)
        if mask.size != image.size:
            raise WeightsError(
                f"{self.path} gives a mask of {mask.size}, not {image.size}; it is another network"
            )
        if image.mode == "RGBA":
            mask = ImageChops.multiply(mask, image.getchannel("A"))
        colours.putalpha(mask)
        return colours
