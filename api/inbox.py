"""Input images: a data URI or a server path in, a checked PNG file by content out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import Fault, InvalidRequestError
from stretto.host.settings import Folders, Settings

from .fields import shown

__all__ = ["FORMATS", "ImageInbox"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
KEPT_MODES = ("L", "RGB", "RGBA")
# What Pillow raises over broken files, besides OSError.
BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, struct.error,
    zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


class _Unfit(Exception):  # noqa: N818  # never leaves this module
    """Why an image is not taken."""


class ImageInbox:
    """Takes a request's input images into `folders.inputs`.

    `allowed_roots` are the folders that a server path may point into; None means any folder,
    which is for a caller who could read the file anyway.
    """

    def __init__(self, folders: Folders, settings: Settings, allowed_roots: Sequence[Path] | None) -> None:
        self._folders = folders
        self._settings = settings
        self._roots = allowed_roots

    def take(self, source: str, field: str) -> ImageRef:
        """Check and store an image; raises InvalidRequestError naming `field`.

        `source` is a base64 data URI, or a path: absolute, or relative to the data directory
        (to the working folder when every folder is allowed).
        """
        try:
            data = _data_uri(source) if source[:5].lower() == "data:" else self._file(source)
            return self._stored(data)
        except _Unfit as unfit:
            raise InvalidRequestError([Fault(field=field, message=f"{shown(source)} {unfit}")]) from unfit

    def _file(self, source: str) -> bytes:
        # One answer for "is not there" and "is elsewhere", or strangers could probe the disk.
        where = self._places()
        found = self._located(source)
        if found is None:
            raise _Unfit(
                f"is not a file in {where}; send the image as a data URI (data:image/png;base64,...)"
            )
        limit = self._settings.max_body_bytes
        with found.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise _Unfit(f"has more than {limit} bytes; send a smaller file, or raise max_body_bytes")
        return data

    def _places(self) -> str:
        if self._roots is None:
            return "any folder"
        return f"the folders {', '.join(root.name for root in self._roots)} of the data directory"

    def _located(self, source: str) -> Path | None:
        base = Path.cwd() if self._roots is None else self._folders.root
        try:
            path = (base / source).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # ValueError: NUL; RuntimeError: a loop of links
            return None
        if self._roots is not None and not any(path.is_relative_to(root.resolve()) for root in self._roots):
            return None
        return path if path.is_file() and os.access(path, os.R_OK) else None

    def _stored(self, data: bytes) -> ImageRef:
        digest = hashlib.sha256(data).hexdigest()
        target = self._folders.inputs / f"{digest}.png"
        with suppress(FileNotFoundError):  # not here, or swept at this moment
            os.utime(target)  # sent again, so not to be swept
            with Image.open(target) as known:
                return _ref(target, known, digest)
        picture = _decoded(data, self._settings.max_image_pixels)
        _write(picture, target)
        return _ref(target, picture, digest)


def _ref(path: Path, picture: Image.Image, digest: str) -> ImageRef:
    return ImageRef(
        path=str(path.resolve()),
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        sha256=digest,
    )


def _data_uri(source: str) -> bytes:
    head, comma, body = source.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise _Unfit("is not a base64 data URI; send data:image/png;base64, and then the file in base64")
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Unfit(f"holds broken base64 ({error}); encode the whole file again") from error


def _decoded(data: bytes, max_pixels: int) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as header:
            width, height = header.size
            if width * height > max_pixels:
                raise _Unfit(
                    f"is {width} x {height} pixels; at most {max_pixels} pixels are taken (max_image_pixels)"
                )
            header.verify()
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            image.load()
            return _plain(ImageOps.exif_transpose(image))
    except BROKEN as error:
        raise _Unfit(
            f"is not a readable picture ({_reason(error)}); send a whole {', '.join(FORMATS)} file"
        ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return shown(str(error) or type(error).__name__).strip('"')


def _plain(image: Image.Image) -> Image.Image:
    # 16-bit grey would be clipped, not scaled, by convert("L").
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in KEPT_MODES:
        return image.copy()
    if image.mode == "1":
        return image.convert("L")
    transparent = image.has_transparency_data
    return image.convert("RGBA" if transparent else "RGB")


def _write(picture: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            picture.save(file, "PNG", compress_level=1)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
