"""GFPGAN as an upscaler: Real-ESRGAN enlarges the picture, and faces in it are found and restored."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from stretto.host import HostView, Upscaler, UpscalerSpec, WeightFile, hookimpl

from ..superres import REAL_ESRGAN, Network, read_network, read_tensors
from ..superres import Settings as Tiles  # under the name `Settings` they would be this plugin's own

__all__ = ["register_upscalers"]

GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
# What finds faces, what parses them, and what enlarges the rest: all three are needed.
BESIDE = {
    "detection_Resnet50_Final.pth": f"{FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",
    "parsing_parsenet.pth": f"{FACEXLIB}/v0.2.2/parsing_parsenet.pth",
    "RealESRGAN_x4plus.pth": f"{REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
}


@hookimpl
def register_upscalers(host: HostView) -> Iterable[UpscalerSpec]:
    """Offer GFPGAN, with the tiles of `[plugins.superres]`."""
    return [
        UpscalerSpec(
            name="gfpgan",
            title="GFPGAN for faces, Real-ESRGAN for what is around them",
            files=("GFPGANv1.4.pth", "GFPGANv1.3.pth", "GFPGANv1.4.safetensors", "GFPGANv1.3.safetensors"),
            source=f"{GFPGAN}/v1.3.0/GFPGANv1.4.pth",
            beside=BESIDE,
            assemble=partial(_assembled, host.plugin_settings("superres", Tiles)),
        )
    ]


def _assembled(settings: Tiles, weights: WeightFile, beside: tuple[WeightFile, ...], device: str) -> Upscaler:
    """Open all four networks; raises WeightsError naming a file that is not its own."""
    from .detection import open_finder
    from .network import open_restorer
    from .parsing import open_parser
    from .restoring import Faces

    face, finder, parser, around = (Path(file.path) for file in (weights, *beside))
    return Faces(
        finder=open_finder(read_tensors(finder), finder, device),
        restorer=open_restorer(read_tensors(face), face, device),
        parser=open_parser(read_tensors(parser), parser, device),
        background=Network(read_network(around, device), settings, around),
    )
