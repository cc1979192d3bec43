"""What the host needs from outside: somewhere to keep jobs. The API implements it on its database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .plan import Plan

__all__ = ["Job", "JobStatus", "JobStore"]


class JobStatus(StrEnum):
    """The contract's words for where a job is."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One durable invocation; `uuid` is 32 hex digits, times are Unix seconds."""

    uuid: str
    user_id: int
    plan: Plan
    status: JobStatus = JobStatus.QUEUED
    attempts: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    images: tuple[str, ...] = ()
    error: str | None = None
    id: int | None = None


class JobStore(Protocol):
    """Keeps jobs; every call is durable when it returns. Called from several threads."""

    def add(self, job: Job, *, limit: int) -> Job:
        """Keep a queued job; raises TooManyRequestsError when `limit` jobs wait already."""

    def claim(self) -> Job | None:
        """Take the oldest queued job: it is `processing` now and has one attempt more."""

    def requeue(self, uuid: str) -> None:
        """Put a job that lost its worker back at the head of the queue."""

    def finish(self, uuid: str, *, images: tuple[str, ...], plan: Plan) -> None:
        """Record the pictures, and the plan with what the engine noted in it."""

    def fail(self, uuid: str, *, message: str, plan: Plan | None = None) -> None:
        """Record why there are no pictures, and the plan with what the engine noted in it."""

    def withdraw(self, uuid: str, *, message: str) -> bool:
        """End a job that still waits, as `fail` does; False when it does not wait (any more)."""

    def unfinished(self) -> list[Job]:
        """Give jobs that were `processing` when the host went away."""

    def waiting(self) -> int:
        """Count queued jobs."""
