"""The intermediates folder: pictures of unfinished jobs, written whole and thrown away in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["sweep", "write_preview"]

_KEEP_S = 3600.0
_PNG_LEVEL = 1  # 512 px: 31 ms; Pillow's default takes 40 ms for 12 % fewer bytes


def write_preview(image: Image, folder: Path, name: str) -> None:
    """Write `folder/name` so that no reader sees half of it."""
    part = folder / f".{name}.part"
    image.save(part, format="PNG", compress_level=_PNG_LEVEL)
    part.replace(folder / name)


def sweep(folder: Path, older_than_s: float = _KEEP_S) -> int:
    """Remove files that are older than an hour and say how many."""
    horizon = time.time() - older_than_s
    gone = 0
    for file in folder.iterdir():
        if file.is_file() and file.stat().st_mtime < horizon:
            file.unlink(missing_ok=True)
            gone += 1
    return gone
