"""Pictures between two processes: their pixels in a piece of memory that both hold, what they are in a message.

The memory is a file without a name (memfd_create(2); elsewhere an unlinked temporary file), so that it is gone
with the last process that holds it, however that ends. It is read and written, never mapped: a process that
cuts it short while another reads gives that one too few bytes instead of a bus error.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import PluginError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["given", "put", "segment"]

_PALETTES = ("P", "PA")
_KEPT_BYTES = 64 * 2**20  # between two pictures
_CHUNK_BYTES = 2**30  # write(2) takes at most 2 GiB at once


def segment() -> int:
    """Make an empty piece of memory and give its file descriptor, which the caller closes."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stretto-picture", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def put(fd: int, image: Image) -> dict[str, Any]:
    """Write the pixels of a picture to `fd`, and give what the other process needs to read them."""
    pixels = image.tobytes()
    if os.fstat(fd).st_size > max(len(pixels), _KEPT_BYTES):
        os.ftruncate(fd, len(pixels))
    view, done = memoryview(pixels), 0
    while done < len(pixels):
        done += os.pwrite(fd, view[done : done + _CHUNK_BYTES], done)
    said: dict[str, Any] = {"mode": image.mode, "size": list(image.size), "bytes": len(pixels)}
    if image.mode in _PALETTES and image.palette is not None:
        said["palette"] = [image.palette.mode, base64.b64encode(bytes(image.palette.palette)).decode()]
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):
        said["transparency"] = base64.b64encode(clear).decode()
    elif clear is not None:
        said["transparency"] = clear
    return said


def given(fd: int, said: Mapping[str, Any], where: str) -> Image:
    """Read the picture that the other process wrote to `fd`; raises PluginError if it is none."""
    from PIL import Image

    try:
        mode, (width, height), pixels = said["mode"], said["size"], _read(fd, int(said["bytes"]))
        # a bit a pixel at least, before room is made for them
        size = (width, height) if 0 <= width * height <= len(pixels) * 8 else (-1, -1)  # ValueError
        image = Image.frombytes(mode, size, pixels)
        if "palette" in said:
            kind, colours = said["palette"]
            image.putpalette(base64.b64decode(colours), kind)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise PluginError(f"{where} gave what is no picture: {error}") from error
    clear = said.get("transparency")
    if clear is not None:
        image.info["transparency"] = base64.b64decode(clear) if isinstance(clear, str) else _colour(clear)
    return image


def _colour(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read(fd: int, count: int) -> bytes:
    if count <= _CHUNK_BYTES:
        return os.pread(fd, count, 0)
    parts = [os.pread(fd, _CHUNK_BYTES, at) for at in range(0, count, _CHUNK_BYTES)]
    return b"".join(parts)[:count]
