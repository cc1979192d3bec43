"""How many handlers of plugins run at once, so that one which hangs leaves threads for everybody else.

Whoever finds no free seat waits in line while those before come and go; where they have sat for a while, it is
refused at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stretto.host.errors import UnavailableError

__all__ = ["LINE_S", "PATIENCE_S", "PluginSeats"]

PATIENCE_S = 1.0  # with those who sit; what takes longer is not waited for
LINE_S = 5.0  # at most, while others come and go


@dataclass(eq=False, frozen=True, slots=True)
class _Sitting:
    owner: str
    what: str
    since: float


class PluginSeats:
    """Seats for `most` handlers, of which one plugin gets all but one; at least one each."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = max(1, most)
        self._each = max(1, most - 1)
        self._clock = clock
        self._freed = threading.Condition()
        self._sitting: list[_Sitting] = []
        self._line: list[_Sitting] = []

    @contextmanager
    def taken(self, owner: str, what: str) -> Iterator[None]:
        """Hold a seat for the plugin `owner` meanwhile; raises UnavailableError, naming who has them."""
        one = self._sit(owner, what)
        try:
            yield
        finally:
            with self._freed:
                self._sitting.remove(one)
                self._freed.notify_all()

    def _sit(self, owner: str, what: str) -> _Sitting:
        begun = self._clock()
        waiting = _Sitting(owner, what, begun)
        with self._freed:
            self._line.append(waiting)
            try:
                while (before := self._before(owner)) or self._first(owner) is not waiting:
                    self._freed.wait(self._left_s(begun, before))
                one = _Sitting(owner, what, self._clock())
                self._sitting.append(one)
            finally:
                self._line.remove(waiting)
                self._freed.notify_all()
        return one

    def _left_s(self, begun: float, before: list[_Sitting]) -> float:
        """Give the seconds that are worth waiting; raises UnavailableError after them."""
        if not before:  # the first in line is about to sit down
            return PATIENCE_S
        now = self._clock()
        last = max(one.since for one in before)
        left_s = min(begun + LINE_S, last + PATIENCE_S) - now
        if left_s <= 0:
            raise _full(before, now)
        return left_s

    def _first(self, owner: str) -> _Sitting:
        return next(one for one in self._line if one.owner == owner)

    def _before(self, owner: str) -> list[_Sitting]:
        own = [one for one in self._sitting if one.owner == owner]
        if len(own) >= self._each:
            return own
        return list(self._sitting) if len(self._sitting) >= self._most else []


def _full(before: list[_Sitting], now: float) -> UnavailableError:
    longest = min(before, key=lambda one: one.since)
    return UnavailableError(
        f"no thread is free for this route, as {longest.what} of the plugin '{longest.owner}' has had one for "
        f"{now - longest.since:.0f} s; come again, and have the author of that one give it a time limit"
    )
