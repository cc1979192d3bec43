"""How a request names an input image once its bytes are safe on disk."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ImageRef"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An input image, checked and stored: `path` is absolute, `mode` is Pillow's."""

    path: str
    width: int
    height: int
    mode: str
    sha256: str
