"""Pictures on the canvas that is drawn: input images fitted and filled up, results cut to size.

The canvas is the node's size rounded up to whole latent cells; all that is added lies right and below.
"""

from __future__ import annotations

from PIL import Image, UnidentifiedImageError

from ..contracts.plan import Node
from ..engine.components import CELL_PX
from ..errors import EngineError
from ..geometry import fitted, round_up

__all__ = ["canvas_px", "cropped", "filled_up", "input_image"]


def canvas_px(node: Node) -> tuple[int, int]:
    """Give the size to draw at, (height, width), in whole latent cells."""
    return round_up(node.height, CELL_PX), round_up(node.width, CELL_PX)


def cropped(image: Image.Image, node: Node) -> Image.Image:
    """Cut a drawn picture to the size that was asked for."""
    if image.size == (node.width, node.height):
        return image
    return image.crop((0, 0, node.width, node.height))


def input_image(node: Node) -> Image.Image:
    """Open the node's image and lay it on the canvas, as RGB; what is transparent or empty is black.

    Cells that the node covers in part repeat the edge. Raises EngineError if the file is gone.
    """
    assert node.image is not None  # noqa: S101 - asked for only where the node has one
    try:
        with Image.open(node.image.path) as opened:
            source = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise EngineError(
            f"The input image {node.image.path} cannot be read: {error}; send it again."
        ) from error
    return filled_up(_laid(source, node), canvas_px(node))


def _laid(source: Image.Image, node: Node) -> Image.Image:
    size = (node.width, node.height)
    placement = fitted(source.size, size, node.fit, node.anchor)
    if placement.resize != source.size:
        source = source.resize(placement.resize, Image.Resampling.LANCZOS)
    piece = source.crop(placement.crop)
    laid = Image.new("RGB", size)
    laid.paste(piece, placement.at, piece if piece.mode == "RGBA" else None)
    return laid


def filled_up(image: Image.Image, size_px: tuple[int, int]) -> Image.Image:
    """Enlarge an RGB image's canvas to `size_px`, (height, width), by repeating its right and bottom edge."""
    height, width = size_px
    if image.size == (width, height):
        return image
    full = Image.new("RGB", (width, height))
    full.paste(image)
    if width > image.width:
        edge = full.crop((image.width - 1, 0, image.width, height))
        full.paste(edge.resize((width - image.width, height)), (image.width, 0))
    if height > image.height:
        edge = full.crop((0, image.height - 1, width, image.height))
        full.paste(edge.resize((width, height - image.height)), (0, image.height))
    return full
