"""Pictures on the canvas that is drawn: input images fitted and filled up, results cut to size.

The canvas is the node's size rounded up to whole latent cells (all that is added lies right and
below), or the size that planning chose to draw at.
"""

from __future__ import annotations

from PIL import Image

from ..contracts.plan import Node
from ..engine.fitting import back_to, fill_up, flat, lay, open_image

__all__ = ["canvas_px", "cropped", "input_image", "laid_image"]


def canvas_px(node: Node) -> tuple[int, int]:
    """Give the size to draw at, (height, width), in whole latent cells."""
    return node.canvas_px


def cropped(image: Image.Image, node: Node) -> Image.Image:
    """Bring a drawn picture to the size that was asked for."""
    return back_to(image, (node.width, node.height))


def laid_image(node: Node) -> Image.Image:
    """Open the node's image and fit it, as RGB in the node's size; what is transparent or empty is black."""
    assert node.image is not None  # noqa: S101 - asked for only where the node has one
    return flat(lay(open_image(node.image), node))


def input_image(node: Node) -> Image.Image:
    """Give the node's image on the canvas, as RGB; cells that the node covers in part repeat the edge.

    Raises EngineError if the file is gone.
    """
    return fill_up(laid_image(node), node.canvas_px)
