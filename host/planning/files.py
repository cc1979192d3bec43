"""Files of networks that stand in a model folder and are known by name alone: upscalers, background removers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..catalog.header import sample
from ..contracts.models import WeightFile, WeightKind

__all__ = ["fetched_by", "file_names", "find_file"]

SUFFIXES = (".onnx", ".pth", ".pt", ".ckpt", ".bin", ".safetensors")


def find_file(folder: Path, names: Iterable[str], kind: WeightKind) -> WeightFile | None:
    """Find the first of `names` (file names, or paths below `folder`) that is there; nothing of it is loaded.

    A path that leads out of the folder, by `..` or by a link, is not found.
    """
    inside = Path(os.path.realpath(folder))
    for name in names:
        if "\0" in name:
            continue
        path = folder / name
        real = Path(os.path.realpath(path))
        if real.is_relative_to(inside) and os.path.isfile(real):  # noqa: PTH113  # Path's raises for names too long
            return _known(path, name, kind)
    return None


def _known(path: Path, name: str, kind: WeightKind) -> WeightFile:
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(size_bytes.to_bytes(8, "little") + sample(file, size_bytes))
    return WeightFile(
        path=str(path.absolute()), kind=kind, name=name, size_bytes=size_bytes, fingerprint=digest.hexdigest()
    )


def file_names(folder: Path) -> list[str]:
    """List the files of networks in `folder` and below it, as paths from there."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def fetched_by(folder: Path, file: str, source: str) -> str:
    """Give the command that fetches `file`; nothing is ever fetched without the user's doing so."""
    return f"curl --location --output '{folder / file}' {source}"
