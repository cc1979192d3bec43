"""Between Pillow's pictures and tensors of pixels in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ..errors import EngineError

__all__ = ["to_images", "to_pixels"]


def to_pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """Give RGB pictures of one size as float32 pixels in [-1, 1], (batch, 3, h, w)."""
    stacked = np.stack([np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0 for image in images])
    return 2.0 * torch.from_numpy(stacked).permute(0, 3, 1, 2) - 1.0


def to_images(pixels: torch.Tensor) -> tuple[Image.Image, ...]:
    """Give pixels in [-1, 1], (batch, 3, h, w), as RGB pictures; values outside are clipped.

    Raises EngineError when there are values that are not numbers: half precision overflowed.
    """
    levels = ((pixels.float() * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round()
    if not bool(torch.isfinite(levels).all()):
        raise EngineError(
            f"The networks gave values that are not numbers in {pixels.dtype}; "
            "ask for precision bfloat16 or float32, or for a VAE made for half precision (vae: xl16)."
        )
    array = levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return tuple(Image.fromarray(picture) for picture in array)
