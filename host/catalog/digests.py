"""SHA-256 of whole files of weights; a file is read once for each size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

from .probe import SUFFIXES

__all__ = ["Digests"]

_CHUNK_BYTES = 2**20


class Digests:
    """Reads files and remembers their digests in a file of its own; `of` runs in one thread at a time."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, Any] | None = None
        self._lock = Lock()
        self._closed = Event()

    def of(self, path: Path) -> str:
        """Give a file's SHA-256 in hexadecimal; a folder's is that of what `sha256sum` prints of its weights.

        They stand there sorted by their paths from the folder. Raises OSError for what cannot be read.
        """
        if not path.is_dir():
            return self._of_file(path)
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        lines = (f"{self._of_file(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def close(self) -> None:
        """Stop reading; what is being read ends with an OSError."""
        self._closed.set()

    def _of_file(self, path: Path) -> str:
        key, stat = os.path.realpath(path), path.stat()
        state = [stat.st_size, stat.st_mtime_ns]
        known = self._remembered().get(key)
        if isinstance(known, list) and known[:2] == state:
            return str(known[2])
        digest = self._read(path)
        self._remember(key, [*state, digest])
        return digest

    def _read(self, path: Path) -> str:
        """Take the digest of one part while the next one is read."""
        digest, parts = hashlib.sha256(), [memoryview(bytearray(_CHUNK_BYTES)) for _ in range(2)]
        with path.open("rb", buffering=0) as file, ThreadPoolExecutor(1) as reader:
            coming = reader.submit(file.readinto, parts[0])
            while count := coming.result():
                if self._closed.is_set():
                    raise OSError(f"{path} was not read to its end")
                coming = reader.submit(file.readinto, parts[1])
                digest.update(parts[0][:count])
                parts.reverse()
        return digest.hexdigest()

    def _remembered(self) -> dict[str, Any]:
        if self._known is None:
            self._known = self._stored()
        return self._known

    def _stored(self) -> dict[str, Any]:
        try:
            stored = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or not one of ours: files are read again
            return {}
        return stored if isinstance(stored, dict) else {}

    def _remember(self, key: str, entry: list[Any]) -> None:
        """Keep an entry, beside those that another process has kept meanwhile."""
        with self._lock:
            self._known = {**self._stored(), **self._remembered(), key: entry}
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            part = self._memory.with_name(f".{self._memory.name}.{os.getpid()}.part")
            part.write_text(json.dumps(self._known), encoding="utf-8")
            part.replace(self._memory)
