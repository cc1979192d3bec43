"""Enlarges a picture and restores the faces in it: found, brought upright, restored, and blended back in.

As GFPGAN's authors do it (https://github.com/TencentARC/GFPGAN), piece by piece of the enlarged picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from PIL import Image as Pictures
from stretto.host import TilingUpscaler

from .detection import Finder
from .network import Restorer
from .parsing import Parser

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Faces"]

# Where eyes, nose and mouth corners lie in FFHQ's aligned faces of 512 px, and what is around a picture.
TEMPLATE = np.array(
    [(192.98138, 239.94708), (318.90277, 240.1936), (256.63416, 314.01935), (201.26117, 371.41043),
     (313.08905, 371.15118)]
)  # fmt: skip
TEMPLATE_PX = 512
AROUND = (132, 133, 135)


@dataclass(frozen=True, slots=True)
class Face:
    """A restored face: levels (side, side, 3), how much of each counts, and where it lies in the small picture."""

    levels: np.ndarray
    mask: np.ndarray
    back: np.ndarray  # (2, 3), from the face's pixels to the small picture's


@dataclass(frozen=True, slots=True)
class Faces:
    """Enlarges by `background`, a network for whole pictures, with the faces restored."""

    finder: Finder
    restorer: Restorer
    parser: Parser
    background: TilingUpscaler

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` with both sides `amount` times as long."""
        whole = Pictures.new(image.mode, (image.width * amount, image.height * amount))
        for piece, at in self.pieces(image, amount):
            whole.paste(piece, at)
        return whole

    def pieces(self, image: Image, amount: int) -> Iterator[tuple[Image, tuple[int, int]]]:
        """Give the background's pieces, each with the parts of faces that lie in it; transparency stays."""
        faces = [self._restored(image.convert("RGB"), five) for five in self.finder.landmarks(image)]
        for piece, at in self.background.pieces(image, amount):
            levels = np.asarray(piece.convert("RGB"))
            for face in faces:
                levels = _blended(levels, face, amount, at)
            made = Pictures.fromarray(levels).convert(piece.mode)
            if piece.mode == "RGBA":
                made.putalpha(piece.getchannel("A"))
            yield made, at

    def _restored(self, image: Image, landmarks: np.ndarray) -> Face:
        side = self.restorer.side_px
        template = TEMPLATE * (side / TEMPLATE_PX)
        # the least median of squares, which is not led astray by one point that is off
        onto, _ = cv2.estimateAffinePartial2D(landmarks, template, method=cv2.LMEDS)
        upright = cv2.warpAffine(
            np.asarray(image), onto, (side, side), borderMode=cv2.BORDER_CONSTANT, borderValue=AROUND
        )
        made = self.restorer.restored(_pixels(upright))
        levels = ((made[0].permute(1, 2, 0) + 1) / 2 * 255).round().to(torch.uint8).numpy()
        return Face(
            levels=levels, mask=self.parser.mask(_pixels(levels)), back=cv2.invertAffineTransform(onto)
        )


def _pixels(levels: np.ndarray) -> torch.Tensor:
    """Give levels (h, w, 3) as pixels in [-1, 1], (1, 3, h, w)."""
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 127.5 - 1


def _blended(levels: np.ndarray, face: Face, amount: int, at: tuple[int, int]) -> np.ndarray:
    """Lay a face over the piece of the enlarged picture whose left top pixel is `at`."""
    height, width = levels.shape[:2]
    middle = 0.5 * amount if amount > 1 else 0.0  # GFPGAN's own offset
    back = face.back * amount
    back[:, 2] += middle - np.array(at)
    side = face.mask.shape[0]
    corners = np.array([(0, 0, 1), (side, 0, 1), (0, side, 1), (side, side, 1)]) @ back.T
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    if right < 0 or bottom < 0 or left > width or top > height:
        return levels
    # of each pixel, where it lies in the face; reckoned from the whole picture, so that pieces meet exactly
    onto = cv2.invertAffineTransform(face.back * amount + np.array([[0, 0, middle], [0, 0, middle]]))
    y, x = np.mgrid[at[1] : at[1] + height, at[0] : at[0] + width]
    across, down = ((row[0] * x + row[1] * y + row[2]).astype(np.float32) for row in onto)
    laid, share = (
        cv2.remap(part, across, down, cv2.INTER_LINEAR) for part in (face.levels, face.mask[:, :, None])
    )
    share = share.reshape(height, width, 1)
    mixed: np.ndarray = share * laid + (1 - share) * levels
    return mixed.round().clip(0, 255).astype(np.uint8)
