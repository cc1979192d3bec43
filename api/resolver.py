"""File names of requests into files of one folder; nothing outside the folder can be named."""

from __future__ import annotations

import re
from pathlib import Path

from stretto.host.errors import NotFoundError

__all__ = ["served_file"]

# No separators, no leading dot, no control characters: so no way out and no hidden files.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,254}", re.ASCII)


def served_file(folder: Path, name: str) -> Path:
    """Give the file `name` of `folder`; NotFoundError for anything else, links included."""
    path = folder / name if NAME.fullmatch(name) else None
    if path is None or path.is_symlink() or not path.is_file():
        raise NotFoundError(f"No image at {name}")
    return path
