"""How many handlers of plugins run at once, so that one which hangs leaves threads for everybody else.

Whoever finds no free seat waits a moment, as handlers usually take less; where those before have sat for
that long already, it is refused at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stretto.host.errors import UnavailableError

__all__ = ["PATIENCE_S", "PluginSeats"]

PATIENCE_S = 1.0


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
        with self._freed:
            while before := self._before(owner):
                now = self._clock()
                last = max(one.since for one in before)
                if (left_s := min(begun, last) + PATIENCE_S - now) <= 0:
                    raise _full(before, now)
                self._freed.wait(left_s)
            one = _Sitting(owner, what, self._clock())
            self._sitting.append(one)
        return one

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
