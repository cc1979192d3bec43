"""Finds faces and their five landmarks: RetinaFace over ResNet-50, with the weights that GFPGAN is used with.

Deng et al. 2019, https://arxiv.org/abs/1905.00641. Modules are named as in `detection_Resnet50_Final.pth`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stretto.host import WeightsError
from torch import nn
from torch.nn import functional
from torchvision.models import resnet50
from torchvision.ops import nms

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Finder", "RetinaFace", "open_finder"]

# What the weights were trained with: pixels between cells of a level and the sides of its two anchors,
# by how much offsets are multiplied, and the mean of the training pictures (blue, green, red).
LEVELS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
VARIANCE = (0.1, 0.2)
MEAN = (104.0, 117.0, 123.0)
WIDTH = 256
TAKEN = ("layer2", "layer3", "layer4")  # of the ResNet
# As GFPGAN's authors use it: below these a face is left as it is.
MIN_SCORE = 0.97
MIN_EYES_PX = 5.0
MAX_SHARED = 0.4  # of two boxes; above, the weaker one is the same face
# A picture is looked at in at most this size, so that memory does not grow with it.
LONGEST_PX = 1024


class Pyramid(nn.Module):
    """Three levels of features, each told of what the coarser one saw (Lin et al. 2017, arXiv:1612.03144)."""

    def __init__(self) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (
            _convolution(width, WIDTH, side=1) for width in (512, 1024, 2048)
        )
        self.merge1, self.merge2 = (_convolution(WIDTH, WIDTH) for _ in range(2))

    def forward(self, fine: Any, middle: Any, coarse: Any) -> tuple[Any, Any, Any]:
        """Give the three levels, all 256 channels wide."""
        coarse, middle, fine = self.output3(coarse), self.output2(middle), self.output1(fine)
        middle = self.merge2(middle + functional.interpolate(coarse, size=middle.shape[2:]))
        fine = self.merge1(fine + functional.interpolate(middle, size=fine.shape[2:]))
        return fine, middle, coarse


class Context(nn.Module):
    """Looks at 3, 5 and 7 cells around each (Najibi et al. 2017, arXiv:1708.03979)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3X3 = _convolution(WIDTH, WIDTH // 2, active=False)
        self.conv5X5_1 = _convolution(WIDTH, WIDTH // 4)
        self.conv5X5_2 = _convolution(WIDTH // 4, WIDTH // 4, active=False)
        self.conv7X7_2 = _convolution(WIDTH // 4, WIDTH // 4)
        self.conv7x7_3 = _convolution(WIDTH // 4, WIDTH // 4, active=False)

    def forward(self, level: Any) -> Any:
        """Give as many channels as there were."""
        near = self.conv5X5_1(level)
        seen = [self.conv3X3(level), self.conv5X5_2(near), self.conv7x7_3(self.conv7X7_2(near))]
        return functional.relu(torch.cat(seen, dim=1))


class Head(nn.Module):
    """Says `values` numbers of each of a cell's two anchors."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(WIDTH, 2 * values, 1)

    def forward(self, level: Any) -> Any:
        """Give (anchors, values) of the one picture."""
        return self.conv1x1(level).permute(0, 2, 3, 1).reshape(-1, self.values)


class RetinaFace(nn.Module):
    """The whole network: pixels (1, 3, h, w), blue first, to what it says of every anchor."""

    def __init__(self) -> None:
        super().__init__()
        layers = list(resnet50(weights=None).named_children())[:-2]  # without pooling and classes
        self.body = nn.Sequential(OrderedDict(layers))
        self.fpn = Pyramid()
        self.ssh1, self.ssh2, self.ssh3 = Context(), Context(), Context()
        self.ClassHead, self.BboxHead, self.LandmarkHead = (
            nn.ModuleList(Head(values) for _ in LEVELS) for values in (2, 4, 10)
        )

    def forward(self, pixels: Any) -> tuple[Any, Any, Any]:
        """Give scores (n,), boxes (n, 4) and landmarks (n, 10), the latter two as offsets from anchors."""
        taken = []
        for name, layer in self.body.named_children():
            pixels = layer(pixels)
            if name in TAKEN:
                taken.append(pixels)
        levels = [
            look(level)
            for look, level in zip((self.ssh1, self.ssh2, self.ssh3), self.fpn(*taken), strict=True)
        ]
        said = (
            torch.cat([head(level) for head, level in zip(heads, levels, strict=True)])
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        classes, boxes, landmarks = said
        return functional.softmax(classes, dim=-1)[:, 1], boxes, landmarks


def _convolution(inward: int, outward: int, *, side: int = 3, active: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inward, outward, side, padding=side // 2, bias=False),
        nn.BatchNorm2d(outward),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if active else nn.Sequential(*layers)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds faces in pictures of any size."""

    network: RetinaFace
    device: str

    def landmarks(self, image: Image) -> list[np.ndarray]:
        """Give the eyes, nose and mouth corners, (5, 2) in pixels, of every face in an RGB picture, surest first."""
        scale = min(1.0, LONGEST_PX / max(image.size))
        seen = (
            image if scale == 1.0 else image.resize((round(image.width * scale), round(image.height * scale)))
        )
        levels = torch.from_numpy(np.ascontiguousarray(np.asarray(seen.convert("RGB"))[:, :, ::-1]))
        pixels = levels.permute(2, 0, 1)[None].float() - torch.tensor(MEAN).view(1, 3, 1, 1)
        with torch.inference_mode():
            scores, boxes, points = (said.float().cpu() for said in self.network(pixels.to(self.device)))
        placed = _placed(scores, boxes, points, seen.size)
        size = torch.tensor([image.width, image.height])
        found = [(point.view(5, 2) * size).numpy().astype(np.float64) for point in placed]
        return [five for five in found if np.linalg.norm(five[0] - five[1]) >= MIN_EYES_PX]


def _placed(scores: Any, boxes: Any, points: Any, size: tuple[int, int]) -> Any:
    """Give the landmarks, (faces, 10) as shares of the picture's sides, of what is sure to be a face."""
    anchors = torch.cat(list(_anchors(size)))  # (n, 4): centre and size
    sure = (scores > MIN_SCORE).nonzero()[:, 0]
    sure = sure[scores[sure].argsort(descending=True)]
    anchors, scores, boxes, points = anchors[sure], scores[sure], boxes[sure], points[sure]
    centre, extent = anchors[:, :2], anchors[:, 2:]
    middle = centre + boxes[:, :2] * VARIANCE[0] * extent
    half = extent * torch.exp(boxes[:, 2:] * VARIANCE[1]) / 2
    sides = torch.tensor([*size, *size])
    kept = nms(torch.cat([middle - half, middle + half], dim=1) * sides, scores, MAX_SHARED)
    offsets = points.view(-1, 5, 2) * VARIANCE[0] * extent[:, None] + centre[:, None]
    return offsets.reshape(-1, 10)[kept]


def _anchors(size: tuple[int, int]) -> Iterator[Any]:
    """Give the anchors of each level as shares of the sides of a picture of `size` (width, height)."""
    width, height = size
    for step_px, sides in LEVELS:
        rows, columns = (-(-side // step_px) for side in (height, width))
        y, x = torch.meshgrid(
            (torch.arange(rows, dtype=torch.float64) + 0.5) * step_px / height,
            (torch.arange(columns, dtype=torch.float64) + 0.5) * step_px / width,
            indexing="ij",
        )
        each = [
            torch.stack([x, y, torch.full_like(x, side / width), torch.full_like(y, side / height)], dim=-1)
            for side in sides
        ]
        yield torch.stack(each, dim=2).reshape(-1, 4).float()


def open_finder(tensors: Mapping[str, Any], path: Path, device: str) -> Finder:
    """Make the network of the tensors in `path`; raises WeightsError naming a file that is not its own."""
    network = RetinaFace()
    try:
        network.load_state_dict({name.removeprefix("module."): value for name, value in tensors.items()})
    except (AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split()[:20])
        raise WeightsError(
            f"{path} is not RetinaFace over ResNet-50, which finds faces: {reason}; download it again"
        ) from error
    return Finder(network.eval().to(device), device)
