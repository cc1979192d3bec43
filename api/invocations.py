"""The invocation object that pollers see: a row, and its progress while it is at work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stretto.host.contracts.ports import JobStatus
from stretto.host.contracts.protocols import WITHHELD
from stretto.host.runtime.progress import Progress

from .history import InvocationRow

__all__ = ["described", "pictures", "remaining_s", "ticket"]


def described(row: InvocationRow, progress: Progress | None) -> dict[str, object]:
    """Give the object in the contract's shapes: queued has two keys, error three, the others nine.

    The row says where the job is; `progress` only adds to it, and may be gone or late.
    """
    if row.status is JobStatus.QUEUED:
        return _queued(row.uuid)
    if row.status is JobStatus.ERROR:
        return {"status": "error", "uuid": row.uuid, "message": row.error or ""}
    if row.status is JobStatus.COMPLETED:
        return _completed(row, progress)
    return _processing(row, progress)


def pictures(names: Sequence[str]) -> list[str]:
    """Give paths under `/api/invocation/` of finished pictures; a withheld one is a word."""
    return [name if name == WITHHELD else f"images/{name}" for name in names]


def remaining_s(progress: Progress) -> float | None:
    """Estimate the seconds that a job at work still needs at its rate; None while that is not known."""
    if progress.status is not JobStatus.PROCESSING or not progress.rate:
        return None
    if progress.step is None or progress.total is None:
        return None
    return round(max(0, progress.total - progress.step) / progress.rate, 3)


def ticket(uuid: str) -> dict[str, object]:
    """Give the object of a job that was just queued, without a look at its row."""
    return _queued(uuid)


def _queued(uuid: str) -> dict[str, object]:
    return {"status": "queued", "uuid": uuid}


def _completed(row: InvocationRow, progress: Progress | None) -> dict[str, object]:
    duration = (row.finished or row.started) - row.started
    total = progress.total if progress and progress.total else row.total
    rate = progress.rate if progress and progress.rate else total / max(duration, 1e-6)
    return {
        "id": row.id,
        "uuid": row.uuid,
        "status": "completed",
        "progress": 1,
        "step": total,
        "duration": round(duration, 6),
        "total": total,
        "images": pictures(row.images),
        "rate": rate,
    }


def _processing(row: InvocationRow, progress: Progress | None) -> dict[str, object]:
    seen = progress if progress and progress.status is JobStatus.PROCESSING else None
    step, total = (seen.step, seen.total) if seen else (None, None)
    duration = max(0.0, time.time() - row.started)
    found: dict[str, object] = {
        "id": row.id,
        "uuid": row.uuid,
        "status": "processing",
        "progress": step / total if step is not None and total else None,
        "step": step,
        "duration": round(duration, 6),
        "total": total,
        "images": list(seen.intermediates) if seen and seen.intermediates else None,
        "rate": seen.rate if seen else None,
    }
    if seen and seen.task:
        found["metadata"] = {"task": seen.task, "remaining": remaining_s(seen)}
    return found
