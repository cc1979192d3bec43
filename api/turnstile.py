"""One after another where side by side is slower.

SQLite's driver lets go of the interpreter at every row. Threads that read many rows at once take it from each
other each time, and do so several times as slowly as in turn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Turnstile"]

PATIENCE_S = 0.02  # behind a slow query; then the next one passes beside it


class Turnstile:
    """Lets threads pass in turn, and does not let a slow one hold up the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Wait for the thread before this one, at most so many seconds."""
        mine = self._lock.acquire(timeout=patience_s)
        try:
            yield
        finally:
            if mine:
                self._lock.release()
