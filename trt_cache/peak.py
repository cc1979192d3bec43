"""How much memory a process and its children take while something runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import psutil

__all__ = ["Peak", "peak_memory"]

_EVERY_S = 0.2


@dataclass(slots=True)
class Peak:
    """The most resident memory seen so far, in bytes."""

    size_bytes: int = 0

    def look(self) -> None:
        """Measure once."""
        process = psutil.Process()
        total = 0
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.Error:  # it ended since it was listed
                continue
        self.size_bytes = max(self.size_bytes, total)


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure five times a second, and at the beginning and the end."""
    peak, over = Peak(), Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            peak.look()

    peak.look()
    thread = Thread(target=watch, name="peak-memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak.look()
