"""How far each job is, folded from its events and kept in memory; the database keeps the rest."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from ..contracts.events import (
    Event,
    Failed,
    Finished,
    Planned,
    Queued,
    Started,
    StepProgress,
    StepStarted,
)
from ..contracts.ports import JobStatus

__all__ = ["Progress", "ProgressLog", "advanced"]

CAPACITY = 1000  # jobs; about 1 KB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One job as its pollers see it; `started` is Unix seconds, `duration` seconds, `rate` it/s.

    `intermediates` are paths under `/api/invocation/`, `images` file names in the images folder.
    """

    uuid: str
    status: JobStatus = JobStatus.QUEUED
    step: int | None = None
    total: int | None = None
    rate: float | None = None
    task: str = ""
    intermediates: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    started: float | None = None
    duration: float = 0.0
    message: str | None = None
    attempt: int = 0
    number: int = 0  # of the last event that is in here


def advanced(progress: Progress, event: Event) -> Progress:
    """Fold one event into a job's progress; events that say nothing about progress only count."""
    return replace(_folded(progress, event), number=max(progress.number, event.number))


def _folded(now: Progress, event: Event) -> Progress:
    match event:
        case Queued():
            then = Progress(uuid=now.uuid)
        case Started(at=at, attempt=attempt):
            then = Progress(
                uuid=now.uuid, status=JobStatus.PROCESSING, started=at, attempt=attempt, task="Starting"
            )
        case Planned(total=total):
            then = replace(now, step=0, total=total)
        case StepStarted(task=task):
            then = replace(now, task=task)
        case StepProgress():
            then = _ticked(now, event)
        case Finished(images=images):
            then = replace(_ended(now, event.at, JobStatus.COMPLETED), images=images, step=now.total, task="")
        case Failed(message=message):
            then = replace(_ended(now, event.at, JobStatus.ERROR), message=message)
        case _:
            then = now
    return then


def _ticked(now: Progress, event: StepProgress) -> Progress:
    shown = tuple(f"intermediates/{name}" for name in event.intermediates)
    return replace(
        now,
        step=event.step,
        total=event.total,
        rate=event.rate if event.rate is not None else now.rate,
        task=event.task or now.task,
        intermediates=shown or now.intermediates,
    )


def _ended(now: Progress, at: float, status: JobStatus) -> Progress:
    duration = at - now.started if now.started is not None else 0.0
    return replace(now, status=status, duration=max(0.0, duration))


class ProgressLog:
    """Progress by uuid for the last CAPACITY jobs; safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._jobs: OrderedDict[str, Progress] = OrderedDict()
        self._lock = threading.Lock()

    def apply(self, event: Event) -> None:
        """Fold an event in; the job that was silent longest is forgotten when there are too many."""
        with self._lock:
            known = self._jobs.get(event.job) or Progress(uuid=event.job)
            self._jobs[event.job] = advanced(known, event)
            self._jobs.move_to_end(event.job)
            while len(self._jobs) > self._capacity:
                self._jobs.popitem(last=False)

    def get(self, uuid: str) -> Progress | None:
        """Give a job's progress with its duration up to now, or None when it is not known here."""
        with self._lock:
            found = self._jobs.get(uuid)
        if found is None or found.status is not JobStatus.PROCESSING or found.started is None:
            return found
        return replace(found, duration=max(0.0, time.time() - found.started))

    def last_number(self, uuid: str) -> int:
        """Give the number of a job's last event, 0 before the first."""
        with self._lock:
            found = self._jobs.get(uuid)
        return found.number if found else 0
