"""A value that is read again only when it is no longer recent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """What `read` gave at most `age_s` seconds ago; safe to call from any thread."""

    def __init__(
        self, read: Callable[[], T], age_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._age_s = age_s
        self._clock = clock
        self._kept: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Give the value, read now if need be; threads that come at the same moment may all read it."""
        kept, now = self._kept, self._clock()
        if kept is None or now - kept[0] >= self._age_s:
            kept = self._kept = (now, self._read())
        return kept[1]
