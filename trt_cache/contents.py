"""The files of an engine: listed, read for their SHA-256, and held against what is written down of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

from .faults import CacheError
from .manifest import FileDigest

__all__ = ["Contents"]


class Contents:
    """Reads files, each once for its size and time of change; any thread may ask."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, str]] = {}
        self._lock = Lock()

    def of(self, folder: Path) -> dict[str, FileDigest]:
        """Read all files under `folder`, by their names from there; raises CacheError for links and devices."""
        return {path.relative_to(folder).as_posix(): self._read(path) for path in sorted(_files(folder))}

    def fault(
        self, folder: Path, files: Mapping[str, FileDigest], *, read: bool = True, anew: bool = False
    ) -> str | None:
        """Say which file is not what `files` says, or None; files that it does not name do not count.

        Without `read` only lengths are looked at; `anew` reads what was read before, too.
        """
        for name, expected in files.items():
            path = folder / name
            try:
                size = path.stat().st_size
                if size != expected.size:
                    return f"{name} has {size} bytes instead of {expected.size}"
                if read and self._read(path, anew=anew).sha256 != expected.sha256:
                    return f"{name} has another SHA-256 than was built"
            except FileNotFoundError:
                return f"{name} is missing"
            except OSError as error:
                return f"{name} cannot be read ({error.strerror or error})"
        return None

    def moved(self, old: Path, new: Path) -> None:
        """Hear that a folder has another name, so that its files need not be read again."""
        with self._lock:
            for path in [path for path in self._known if path.is_relative_to(old)]:
                self._known[new / path.relative_to(old)] = self._known.pop(path)

    def _read(self, path: Path, *, anew: bool = False) -> FileDigest:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            with self._lock:
                known = self._known.get(path)
            if not anew and known is not None and known[:2] == (stat.st_size, stat.st_mtime_ns):
                return FileDigest(size=stat.st_size, sha256=known[2])
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            self._known[path] = (stat.st_size, stat.st_mtime_ns, sha256)
        return FileDigest(size=stat.st_size, sha256=sha256)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CacheError(f"an engine is plain files and folders, and {path.name} is neither")
        if path.is_file():
            yield path
