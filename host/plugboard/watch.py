"""Who is at work in which plugin, since when; one thread says so of those who are at it for too long.

The clock is the ledger's. Nothing is interrupted: Python has no way to stop a thread in another's code.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..contracts.costs import Spent
from .ledger import Ledger

if TYPE_CHECKING:
    from .calls import Place

__all__ = ["DESK", "Limits", "Mark", "Watch"]

# Of a process that another one watches, before it opens its host: has a `value`, bytes that the other one may read.
DESK: ContextVar[Any] = ContextVar("DESK", default=None)

Mark = tuple[int, float, "Place", int, bytes]  # number, begun, place, thread, who was at work before
_FRAMES = 12  # of a stack, the innermost ones
_LOOK_S = 0.05, 1.0  # at least and at most between two looks
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds that a call may take before it is reported: one of a hook, one that draws. None is no limit."""

    hook_s: float | None = 60.0
    step_s: float | None = None


class Watch:
    """The calls that are under way; safe to use from several threads."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.perf_counter) -> None:
        self._ledger = ledger
        self._clock = clock
        self._numbers = itertools.count()
        self._running: dict[int, Mark] = {}
        self._reported: set[int] = set()
        self._said: list[str] = []
        self._stop = threading.Event()
        self.limits = Limits()
        self.desk: Any = DESK.get()
        self.tell: Callable[[Spent], None] = lambda spent: ledger.overran(spent.plugin, spent.hook)
        self.chores: list[Callable[[], None]] = []

    def begin(self, place: Place) -> Mark:
        """Note that a call begins."""
        before = b""
        if self.desk is not None:
            before = self.desk.value
            self.desk.value = place.at_work
        number = next(self._numbers)
        mark = number, self._clock(), place, threading.get_ident(), before
        self._running[number] = mark
        return mark

    def end(self, mark: Mark) -> float:
        """Note that it ends, and give its seconds."""
        seconds = self._clock() - mark[1]
        del self._running[mark[0]]
        if self.desk is not None:
            self.desk.value = mark[4]
        return seconds

    def look(self) -> None:
        """Report every call that has become too long, once."""
        now = self._clock()
        running = self._running.copy().values()  # at once, whoever begins meanwhile
        self._reported &= {number for number, *_ in running}
        for number, begun, place, thread, _ in running:
            limit = self.limits.step_s if place.drawing else self.limits.hook_s
            if limit is not None and now - begun > limit and number not in self._reported:
                self._reported.add(number)
                self._report(place, now - begun, limit, thread)

    def said(self) -> tuple[str, ...]:
        """Give the lines about long calls since the last time."""
        said, self._said = tuple(self._said), []
        return said

    def open(self) -> None:
        """Have a thread look from time to time, until `close`, or until nobody holds this any more."""
        self._stop = threading.Event()
        arguments = weakref.ref(self), self._stop
        threading.Thread(target=_looking, args=arguments, name="watch", daemon=True).start()

    def close(self) -> None:
        """End that thread; idempotent."""
        self._stop.set()

    @property
    def pause_s(self) -> float:
        """Give the seconds to the next look."""
        limits = [limit for limit in (self.limits.hook_s, self.limits.step_s) if limit is not None]
        least, most = _LOOK_S
        return min(most, max(least, min(limits) / 4)) if limits else most

    def _report(self, place: Place, seconds: float, limit_s: float, thread: int) -> None:
        line = f"the plugin '{place.plugin}' is in {place.doing} for {seconds:.1f} s, past its limit of {limit_s:g} s"
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for debugging a deadlock
        stack = (
            "".join(traceback.format_stack(frame)[-_FRAMES:]) if frame is not None else "(its thread ended)"
        )
        logger.warning("%s; it is at\n%s", line, stack)
        self._said.append(line)
        self.tell(Spent(plugin=place.plugin, hook=place.hook, calls=0, seconds=0.0, overruns=1))


def _looking(held: weakref.ref[Watch], stop: threading.Event) -> None:
    while (watch := held()) is not None:
        pause_s = watch.pause_s
        watch.look()
        for chore in tuple(watch.chores):
            try:
                chore()
            except Exception:  # the next one must have its turn
                logger.exception("a chore of the plugins failed; it is tried again")
        del watch
        if stop.wait(pause_s):
            return
