"""Names of weight files, as lists and pickers show them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["DEFAULTS", "base_names", "checkpoint_names"]

# The contract's clients know these names, so they are listed although nothing is fetched for them:
# whoever puts the file into the folder can use it, and until then invoking says where it would belong.
DEFAULTS = (
    "v1-5-pruned.ckpt",
    "sd-v1-5-inpainting.ckpt",
    "sd_xl_base_1.0.safetensors",
    "sd_xl_refiner_1.0.safetensors",
)


def base_names(folders: Sequence[Path]) -> list[str]:
    """Give the base names of all files below folders, each once, in the order of the folders."""
    return list(dict.fromkeys(path.name for path in _files(folders)))


def checkpoint_names(host: Host) -> list[str]:
    """Give the checkpoints, the newest first, then the defaults that are not there."""
    files = sorted(_files(host.library.folders_of("checkpoint")), key=_changed, reverse=True)
    return list(dict.fromkeys([*(path.name for path in files), *DEFAULTS]))


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for place, inner, files in os.walk(folder, onerror=_raise):
            inner.sort()
            yield from (Path(place) / name for name in sorted(files) if not name.startswith("."))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # gone since it was listed
        return 0.0


def _raise(error: OSError) -> None:
    raise error
