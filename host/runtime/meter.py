"""Times the steps of one job and the ticks within them; used by one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..contracts.costs import EngineUse, Measured, Spent, StageTook, TickTook
from ..contracts.plan import Plan

__all__ = ["Meter"]

_MOST = 10_000  # ticks that are told one by one; what comes after is not


class Meter:
    """What one job took so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kind = ""
        self._task: str | None = None
        self._mark = 0.0
        self._stages: list[StageTook] = []
        self._ticks: list[TickTook] = []

    @contextmanager
    def stage(self, kind: str) -> Iterator[None]:
        """Time one step of the plan, also where it fails."""
        begun, self._kind, self._task = self._clock(), kind, None
        try:
            yield
        finally:
            self._stages.append(StageTook(kind=kind, seconds=self._clock() - begun))

    def tick(self, task: str, ticks: int) -> None:
        """Hear that `ticks` ticks are done; they took the time since the last ones of the same task."""
        if task != self._task:  # the first ones began with what is done once, such as loading
            self._task, self._mark = task, self._clock()
            return
        if not ticks:
            return
        now = self._clock()
        if self._kind and len(self._ticks) < _MOST:
            self._ticks.append(TickTook(kind=self._kind, seconds=(now - self._mark) / ticks, count=ticks))
        self._mark = now

    def measured(self, job: str, plugins: Sequence[Spent], plan: Plan) -> Measured:
        """Give all of it."""
        asked = plan.acceleration
        return Measured(
            job=job,
            stages=tuple(self._stages),
            ticks=tuple(self._ticks),
            plugins=tuple(plugins),
            engine=None
            if asked is None
            else EngineUse(compiler=asked.requested, used=asked.used, missed=len(asked.why)),
        )
