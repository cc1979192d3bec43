from __future__ import annotations

import time
from typing import Any

from stretto.host.contracts.events import (
    Failed,
    Finished,
    ModelLoaded,
    Planned,
    Queued,
    Started,
    StepProgress,
    StepStarted,
)
from stretto.host.contracts.ports import JobStatus
from stretto.host.runtime.progress import ProgressLog


def _log(*events: Any) -> Any:
    log = ProgressLog()
    for number, event in enumerate(events, start=1):
        log.apply(
            type(event)(**{**{f: getattr(event, f) for f in event.__dataclass_fields__}, "number": number})
        )
    return log


def test_unknown_job_has_no_progress() -> None:
    assert ProgressLog().get("a") is None
    assert ProgressLog().last_number("a") == 0


def test_queued_then_started_without_figures() -> None:
    log = _log(Queued(job="a"))
    assert log.get("a").status is JobStatus.QUEUED
    log.apply(Started(job="a", number=2, at=time.time() - 3))
    now = log.get("a")
    assert now.status is JobStatus.PROCESSING
    assert (now.step, now.total, now.rate, now.images) == (None, None, None, ())
    assert 2.9 < now.duration < 4


def test_ticks_tasks_and_intermediates() -> None:
    log = _log(
        Started(job="a", at=1.0),
        Planned(job="a", total=45),
        StepStarted(job="a", task="drawing"),
        StepProgress(job="a", step=10, total=45, rate=3.5, task="denoising", intermediates=("a_0.png",)),
        StepProgress(job="a", step=11, total=45, task="denoising"),
        ModelLoaded(job="a", model="m"),
    )
    now = log.get("a")
    assert (now.step, now.total, now.rate, now.task) == (11, 45, 3.5, "denoising")
    assert now.intermediates == ("intermediates/a_0.png",)
    assert now.number == 6 == log.last_number("a")


def test_finished_is_complete() -> None:
    log = _log(
        Started(job="a", at=100.0),
        Planned(job="a", total=45),
        StepProgress(job="a", step=44, total=45),
        Finished(job="a", at=104.5, images=("a_0.png",)),
    )
    now = log.get("a")
    assert now.status is JobStatus.COMPLETED
    assert (now.step, now.duration, now.images) == (45, 4.5, ("a_0.png",))


def test_failed_keeps_what_was_reached() -> None:
    now = _log(
        Started(job="a", at=1.0), Planned(job="a", total=9), Failed(job="a", at=2.0, message="no")
    ).get("a")
    assert (now.status, now.message, now.duration, now.total) == (JobStatus.ERROR, "no", 1.0, 9)


def test_failed_before_it_started() -> None:
    now = _log(Queued(job="a"), Failed(job="a", at=2.0, message="no")).get("a")
    assert (now.status, now.duration) == (JobStatus.ERROR, 0.0)


def test_second_attempt_begins_again_and_keeps_counting() -> None:
    log = _log(
        Queued(job="a"),
        Started(job="a", at=1.0),
        Planned(job="a", total=45),
        StepProgress(job="a", step=30, total=45),
        Queued(job="a"),
        Started(job="a", at=9.0, attempt=2),
    )
    now = log.get("a")
    assert (now.step, now.total, now.attempt, now.number) == (None, None, 2, 6)


def test_memory_is_bounded_and_keeps_the_lively() -> None:
    log = ProgressLog(capacity=3)
    for job in "abc":
        log.apply(Queued(job=job))
    log.apply(Started(job="a"))
    log.apply(Queued(job="d"))
    assert log.get("b") is None
    assert all(log.get(job) for job in "acd")
