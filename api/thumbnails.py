"""Small copies of finished pictures, made when they are first asked for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image

__all__ = ["HEIGHT_PX", "thumbnail"]

HEIGHT_PX = 200


def thumbnail(picture: Path, folder: Path) -> Path:
    """Give `folder/<name>`, HEIGHT_PX high and not older than the picture; written atomically."""
    target = folder / picture.name
    if target.is_file() and target.stat().st_mtime_ns >= picture.stat().st_mtime_ns:
        return target
    with Image.open(picture) as image:
        width = max(1, round(image.width * HEIGHT_PX / image.height))
        small = image.resize((width, HEIGHT_PX), Image.Resampling.LANCZOS)
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            small.save(file, "PNG")
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target
