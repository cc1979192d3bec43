"""Pictures between two processes: their pixels in a piece of memory that both hold, what they are in a message.

The memory is a file without a name (memfd_create(2); elsewhere an unlinked temporary file), so that it is gone
with the last process that holds it, however that ends. It is read and written, never mapped: a process that
cuts it short while another reads gives that one too few bytes instead of a bus error.
"""

from __future__ import annotations

import base64
import os
import sys
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


def given(fd: int, said: Mapping[str, Any], where: str, most_bytes: int = sys.maxsize) -> Image:
    """Read the picture that the other process wrote to `fd`; raises PluginError if it is none, or has more bytes."""
    from PIL import Image

    try:
        mode, (width, height), pixels = said["mode"], said["size"], _read(fd, said["bytes"], most_bytes)
        # a bit a pixel at least, before room is made for them
        size = (width, height) if 0 < width * height <= len(pixels) * 8 else (-1, -1)  # ValueError
        image = Image.frombytes(mode, size, pixels)
        if "palette" in said:
            kind, colours = said["palette"]
            image.putpalette(base64.b64decode(colours, validate=True), kind)
        clear = said.get("transparency")
        if clear is not None:
            image.info["transparency"] = _clear(clear)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise PluginError(f"{where} gave what is no picture: {error}") from error
    return image


def _clear(value: Any) -> bytes | int | tuple[int, ...]:
    """Read what is transparent: of a palette the opacities or one index, else a grey or a colour."""
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if type(value) is int:
        return value
    if isinstance(value, (list, tuple)) and all(type(one) is int for one in value):
        return tuple(value)
    raise ValueError(f"{value!r:.80} is no transparent colour")


def _read(fd: int, count: Any, most: int) -> bytes:
    """Read `count` bytes; before there is room for them, it is looked whether they are there."""
    there = min(os.fstat(fd).st_size, most)
    if type(count) is not int or not 0 < count <= there:
        raise ValueError(f"it is said to have {count!r:.40} bytes, and at most {there} can be read")
    if count <= _CHUNK_BYTES:
        return os.pread(fd, count, 0)
    parts = [os.pread(fd, _CHUNK_BYTES, at) for at in range(0, count, _CHUNK_BYTES)]
    return b"".join(parts)[:count]
