"""Small networks of GFPGAN's own architectures: one finds a face where we say, the others have random weights."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from stretto.host import WeightFile, WeightKind
from stretto.host.testing.networks import make_tiny_esrgan
from stretto.plugins.faces import register_upscalers

# Where the face of `portrait` is said to be: eyes, nose, mouth corners.
POINTS = np.array([(42.0, 44.0), (54.0, 45.0), (47.5, 51.5), (43.0, 57.0), (53.0, 57.5)])
SIDE = 96
FACE_PX = 64


def planted_finder(picture: Image.Image) -> dict[str, torch.Tensor]:
    """Give RetinaFace's tensors, random but for heads that see one face in this picture, at POINTS.

    Only the larger anchor of the coarsest level is ever a face, of the first of its 3 x 3 cells most
    surely, and what the others may see is the same face.
    """
    from stretto.plugins.faces.detection import MEAN, RetinaFace

    torch.manual_seed(0)
    network = RetinaFace().eval()
    taken: list[torch.Tensor] = []
    network.ssh3.register_forward_hook(lambda _network, _seen, made: taken.append(made[0].clone()))
    pixels = torch.from_numpy(np.array(picture)[:, :, ::-1].copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        network(pixels - torch.tensor(MEAN).view(1, 3, 1, 1))
    (cells,) = taken  # (256, 3, 3)
    first = cells[:, 0, 0]
    towards = first - cells.mean(dim=(1, 2))
    towards = towards / (towards @ (first - cells.mean(dim=(1, 2))))
    tensors = network.state_dict()
    for name in tensors:
        if name.split(".")[0] in ("ClassHead", "BboxHead", "LandmarkHead"):
            tensors[name].zero_()
    for level in range(3):
        tensors[f"ClassHead.{level}.conv1x1.bias"] += torch.tensor([9.0, -9.0, 9.0, -9.0])
    tensors["ClassHead.2.conv1x1.weight"][3, :, 0, 0] += towards
    tensors["ClassHead.2.conv1x1.bias"][2:] = torch.tensor([-3.0, 3.0 - float(towards @ first)])
    anchor_px, middle_px = 512, 16.0
    tensors["LandmarkHead.2.conv1x1.bias"][10:] += torch.tensor(
        ((POINTS - middle_px) / (0.1 * anchor_px)).reshape(-1), dtype=torch.float32
    )
    return tensors


def tiny_restorer(**shape: Any) -> dict[str, torch.Tensor]:
    """Give the tensors of a GFPGAN for faces of 64 px, an eighth as wide as the published ones."""
    from spandrel.architectures.GFPGAN import GFPGAN

    torch.manual_seed(1)
    network = GFPGAN(**{"out_size": FACE_PX, "num_style_feat": 16, "narrow": 0.125, **shape})
    tensors = network.state_dict()
    for name in tensors:
        if name.startswith("condition_") and name.endswith(".2.weight"):
            tensors[name] *= 4
    return tensors


def tiny_parser() -> dict[str, torch.Tensor]:
    """Give the tensors of a ParseNet that is 4 to 8 channels wide, in which skin is likely."""
    from stretto.plugins.faces.parsing import ParseNet

    torch.manual_seed(2)
    tensors = ParseNet((4, 8, 8), 1).state_dict()
    tensors["out_mask_conv.conv2d.bias"][1] += 0.7
    return tensors


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: Any, portrait: Any) -> Any:
    """Give a folder with all files that `gfpgan` needs."""
    folder = tmp_path_factory.mktemp("faces")
    torch.save({f"module.{name}": value for name, value in planted_finder(portrait).items()},
               folder / "detection_Resnet50_Final.pth")  # fmt: skip
    torch.save({"params_ema": tiny_restorer()}, folder / "GFPGANv1.4.pth")
    save_file(tiny_parser(), folder / "parsing_parsenet.safetensors")
    make_tiny_esrgan(folder / "RealESRGAN_x4plus.pth")
    return folder


@pytest.fixture(scope="session")
def spec() -> Any:
    view = SimpleNamespace(plugin_settings=lambda _name, into: into(tile=40, overlap=8))
    (found,) = register_upscalers(view)
    return found


@pytest.fixture(scope="session")
def gfpgan(shelf: Any, spec: Any) -> Any:
    """Give the upscaler over the small networks, on the CPU."""

    def file(name: str) -> WeightFile:
        path = next(
            path for path in (shelf / name, (shelf / name).with_suffix(".safetensors")) if path.is_file()
        )
        return WeightFile(path=str(path), kind=WeightKind.UPSCALER, name=path.name)

    return spec.assemble(file("GFPGANv1.4.pth"), tuple(file(name) for name in spec.beside), "cpu")


@pytest.fixture(scope="session")
def portrait() -> Image.Image:
    """Give a picture of 96 px with something at POINTS."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    levels = np.stack([rows * 2, columns * 2, 120 + 60 * np.sin(rows / 9) * np.cos(columns / 7)], axis=-1)
    for x, y in POINTS.astype(int):
        levels[y - 2 : y + 2, x - 3 : x + 3] = 20 + 10 * math.sqrt(x)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))
