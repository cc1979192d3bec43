"""Says of every pixel of a face what it is (skin, eyes, hair, nothing), so that only the face is put back.

ParseNet of Chen et al. 2020 (PSFR-GAN, https://arxiv.org/abs/2009.08709). Modules are named as in
`parsing_parsenet.pth`; how wide and deep they are is read from the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from stretto.host import WeightsError
from torch import nn
from torch.nn import functional

__all__ = ["ParseNet", "Parser", "open_parser"]

# Classes that are not of the face: background, hair, hat, necklace and clothes (CelebAMask-HQ's 19).
OUTSIDE = (0, 14, 16, 17, 18)
CLASSES = 19
SLOPE = 0.2
# At 512 px: how far an edge is blurred, twice, and how much at the border is not put back.
BLUR_PX, SIGMA_PX, BORDER_PX, MEASURED_PX = 101, 11.0, 10, 512


class Layer(nn.Module):
    """A convolution over a picture that is mirrored at its borders."""

    def __init__(
        self, inward: int, outward: int, *, scale: float = 1, norm: bool = False, relu: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale
        self.conv2d = nn.Conv2d(inward, outward, 3, stride=2 if scale < 1 else 1, bias=not norm)
        self.norm = nn.ModuleDict({"norm": nn.BatchNorm2d(outward)} if norm else {})
        self.relu = relu

    def forward(self, x: Any) -> Any:
        """Give (1, outward, h * scale, w * scale)."""
        if self.scale > 1:
            x = functional.interpolate(x, scale_factor=2)
        x = self.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"))
        for layer in self.norm.values():
            x = layer(x)
        return functional.leaky_relu(x, SLOPE) if self.relu else x


class Block(nn.Module):
    """Two convolutions beside what goes around them."""

    def __init__(self, inward: int, outward: int, scale: float = 1) -> None:
        super().__init__()
        first, second = (scale, 1) if scale > 1 else (1, scale)
        self.shortcut_func: nn.Module = nn.Identity()
        if scale != 1 or inward != outward:
            self.shortcut_func = Layer(inward, outward, scale=scale)
        self.conv1 = Layer(inward, outward, scale=first, norm=True, relu=True)
        self.conv2 = Layer(outward, outward, scale=second, norm=True)

    def forward(self, x: Any) -> Any:
        """Give (1, outward, h * scale, w * scale)."""
        return self.shortcut_func(x) + self.conv2(self.conv1(x))


class ParseNet(nn.Module):
    """Pixels in [-1, 1], (1, 3, h, w), to (1, 19, h, w); `widths` are the channels at each halving."""

    def __init__(self, widths: tuple[int, ...], depth: int) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.encoder = nn.Sequential(Layer(3, widths[0]), *(Block(a, b, 0.5) for a, b in steps))
        self.body = nn.Sequential(*(Block(widths[-1], widths[-1]) for _ in range(depth)))
        self.decoder = nn.Sequential(*(Block(b, a, 2) for a, b in reversed(steps)))
        self.out_img_conv = Layer(widths[0], 3)
        self.out_mask_conv = Layer(widths[0], CLASSES)

    def forward(self, x: Any) -> Any:
        """Give how much each pixel is of each class."""
        x = self.encoder(x)
        return self.out_mask_conv(self.decoder(x + self.body(x)))


@dataclass(frozen=True, slots=True)
class Parser:
    """Tells a face from what is around it."""

    network: ParseNet
    device: str

    def mask(self, face: Any) -> np.ndarray:
        """Give how much of each pixel is to be put back, (h, w) in [0, 1], of a face in [-1, 1], (1, 3, h, w)."""
        with torch.inference_mode():
            classes = self.network(face.to(self.device)).argmax(dim=1)[0].cpu().numpy()
        share = classes.shape[0] / MEASURED_PX
        blur_px = int(BLUR_PX * share) // 2 * 2 + 1
        mask = np.where(np.isin(classes, OUTSIDE), 0.0, 1.0)
        for _ in range(2):
            mask = cv2.GaussianBlur(mask, (blur_px, blur_px), SIGMA_PX * share)
        border = max(1, round(BORDER_PX * share))
        inner = np.zeros_like(mask)
        inner[border:-border, border:-border] = mask[border:-border, border:-border]
        return inner


def open_parser(tensors: Mapping[str, Any], path: Path, device: str) -> Parser:
    """Make the network of the tensors in `path`; raises WeightsError naming a file that is not its own."""
    names = [name.split(".") for name in tensors]
    halvings = sum(parts[0] == "encoder" and parts[2:] == ["conv1", "conv2d", "weight"] for parts in names)
    depth = sum(parts[0] == "body" and parts[2:] == ["conv1", "conv2d", "weight"] for parts in names)
    try:
        first = tensors["encoder.0.conv2d.weight"].shape[0]
        widths = (tensors[f"encoder.{i + 1}.conv1.conv2d.weight"].shape[0] for i in range(halvings))
        network = ParseNet((first, *widths), depth)
        network.load_state_dict(dict(tensors))
    except (AttributeError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split()[:20])
        raise WeightsError(
            f"{path} is not ParseNet, which parses faces: {reason}; download it again"
        ) from error
    return Parser(network.eval().to(device), device)
