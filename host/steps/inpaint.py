"""Repainting a part of an image: what goes to the engine, and how what comes back is pasted.

Only what the mask calls for changes: the drawn part is pasted through the mask, so every pixel that
is black in it comes back as it was, to the bit; grey levels blend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ..contracts.plan import Node
from ..engine.fitting import back_to, cut, fill_up, surface
from ..engine.images import to_pixels
from ..engine.inpainting import Hole

__all__ = ["Work", "open_work"]

# At least this level of 255 is repainted; below, the engine keeps what is there.
_HALF = 128


@dataclass(frozen=True, slots=True)
class Work:
    """A picture to repaint and the levels of its mask, both in the node's size."""

    node: Node
    picture: Image.Image  # RGB
    painted: Image.Image  # L: 255 is repainted, 0 stays

    def hole(self) -> Hole:
        """Give the part that is drawn as tensors, in whole latent cells."""
        size_px, area = self.node.canvas_px, self.node.drawn
        picture = fill_up(cut(self.picture, area), size_px)
        levels = np.asarray(fill_up(cut(self.painted, area), size_px))
        mask = torch.from_numpy((levels >= _HALF).astype(np.float32))[None, None]
        return Hole(pixels=to_pixels([picture]), mask=mask, strength=self.node.strength)

    def pasted(self, drawn: Image.Image) -> Image.Image:
        """Paste a drawn part where it belongs, through the mask."""
        area = self.node.drawn
        part = back_to(drawn, (area.right - area.left, area.bottom - area.top))
        done = self.picture.copy()
        done.paste(part, (area.left, area.top), cut(self.painted, area))
        return done


def open_work(node: Node) -> Work:
    """Open image and mask of a node that repaints; raises EngineError if a file is gone."""
    picture, painted = surface(node)
    return Work(node=node, picture=picture, painted=painted)
