"""Input images and masks on a node's canvas: fitted, cut, filled up to whole cells, and back. Pictures only."""

from __future__ import annotations

from PIL import Image, ImageChops, UnidentifiedImageError

from ..contracts.images import ImageRef
from ..contracts.plan import Bounds, Node
from ..errors import EngineError
from ..geometry import fitted, round_up

__all__ = ["UNSEEN", "back_to", "coverage", "cut", "fill_up", "flat", "hole", "lay", "open_image", "surface"]

# An input pixel counts as there when it is more opaque than this, of 255.
_OPAQUE = 128
# What nobody sees is the middle of [-1, 1], as inpainting models are trained.
UNSEEN = (127, 127, 127)


def open_image(ref: ImageRef) -> Image.Image:
    """Open an input image as RGB, or as RGBA where anything may be transparent; raises EngineError."""
    try:
        with Image.open(ref.path) as opened:
            return opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise EngineError(f"The input image {ref.path} cannot be read: {error}; send it again.") from error


def lay(source: Image.Image, node: Node) -> Image.Image:
    """Lay a picture on the node's canvas by its fit and anchor, as RGBA; what it leaves free is transparent."""
    return _laid(source, node, "RGBA")


def _laid(source: Image.Image, node: Node, mode: str) -> Image.Image:
    size = (node.width, node.height)
    placement = fitted(source.size, size, node.fit, node.anchor)
    if placement.resize != source.size:
        source = source.resize(placement.resize, Image.Resampling.LANCZOS)
    laid = Image.new(mode, size)
    laid.paste(source.crop(placement.crop).convert(mode), placement.at)
    return laid


def coverage(node: Node) -> Image.Image:
    """Give how opaque the node's image is on its canvas, L; opens the file only where it may have alpha.

    The same as the alpha of what `lay` gives, for a quarter of the memory. Raises EngineError.
    """
    assert node.image is not None  # noqa: S101 - asked for only where the node has one
    if node.image.mode in ("RGB", "L"):
        return _laid(Image.new("L", (node.image.width, node.image.height), 255), node, "L")
    source = open_image(node.image)
    alpha = source.getchannel("A") if source.mode == "RGBA" else Image.new("L", source.size, 255)
    return _laid(alpha, node, "L")


def flat(laid: Image.Image, ground: str = "black") -> Image.Image:
    """Put an RGBA picture on a ground of one colour."""
    below = Image.new("RGB", laid.size, ground)
    below.paste(laid, mask=laid.getchannel("A"))
    return below


def surface(node: Node) -> tuple[Image.Image, Image.Image]:
    """Give the node's picture, RGB, and what of it is repainted, L: 255 is repainted, 0 stays.

    The node has an image. With `outpaint`, what the image leaves empty is repainted, whatever the
    mask says. Raises EngineError if a file is gone.
    """
    assert node.image is not None  # noqa: S101 - planning paints only over an image
    laid = lay(open_image(node.image), node)
    painted = hole(node, laid.getchannel("A"))
    if not node.outpaint:
        return flat(laid), painted
    there = laid.getchannel("A").point(_is_opaque)
    return Image.composite(laid.convert("RGB"), Image.new("RGB", laid.size, UNSEEN), there), painted


def hole(node: Node, alpha: Image.Image) -> Image.Image:
    """Give what is repainted of a picture with that `alpha` on the canvas, in levels from 0 to 255."""
    masked = Image.new("L", alpha.size) if node.mask is None else _mask(node.mask, node)
    return ImageChops.lighter(masked, alpha.point(_is_empty)) if node.outpaint else masked


def _mask(ref: ImageRef, node: Node) -> Image.Image:
    """Lay the mask like the image; what it does not reach stays, inverted or not."""
    source = open_image(ref)
    levels = flat(source).convert("L") if source.mode == "RGBA" else source.convert("L")
    if node.invert_mask:
        levels = ImageChops.invert(levels)
    return _laid(levels, node, "L")


def _is_opaque(level: int) -> int:
    return 255 if level > _OPAQUE else 0


def _is_empty(level: int) -> int:
    return 255 - _is_opaque(level)


def cut(image: Image.Image, area: Bounds) -> Image.Image:
    """Cut an area out of a picture; the same picture, if the area is all of it."""
    box = (area.left, area.top, area.right, area.bottom)
    return image if box == (0, 0, *image.size) else image.crop(box)


def fill_up(image: Image.Image, size_px: tuple[int, int]) -> Image.Image:
    """Bring a picture to `size_px` (height, width): repeat its edge to whole cells, or else scale it."""
    height, width = size_px
    if image.size == (width, height):
        return image
    if (round_up(image.width), round_up(image.height)) != (width, height):
        return image.resize((width, height), Image.Resampling.LANCZOS)
    full = Image.new(image.mode, (width, height))
    full.paste(image)
    if width > image.width:
        edge = full.crop((image.width - 1, 0, image.width, height))
        full.paste(edge.resize((width - image.width, height)), (image.width, 0))
    if height > image.height:
        edge = full.crop((0, image.height - 1, width, image.height))
        full.paste(edge.resize((width, height - image.height)), (0, image.height))
    return full


def back_to(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Undo `fill_up`: cut a drawn picture to `size` (width, height), or scale it back."""
    if image.size == size:
        return image
    if (round_up(size[0]), round_up(size[1])) == image.size:
        return image.crop((0, 0, *size))
    return image.resize(size, Image.Resampling.LANCZOS)
