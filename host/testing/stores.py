"""A JobStore that forgets when it goes; the durable one is the API's, on its database."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from ..contracts.plan import Plan
from ..contracts.ports import Job, JobStatus
from ..errors import TooManyRequestsError

__all__ = ["JobMemory"]

_ENDS = (JobStatus.COMPLETED, JobStatus.ERROR)


class JobMemory:
    """Jobs by uuid, for hosts whose worker is to run; used from any thread."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._queue: list[str] = []
        self._changed = threading.Condition()

    def add(self, job: Job, *, limit: int) -> Job:
        """Keep a queued job; raises TooManyRequestsError when `limit` jobs wait already."""
        with self._changed:
            if len(self._queue) >= limit:
                raise TooManyRequestsError(f"{limit} jobs wait already; come again when one has ended")
            self.jobs[job.uuid] = job
            self._queue.append(job.uuid)
            return job

    def claim(self) -> Job | None:
        """Take the oldest queued job."""
        with self._changed:
            if not self._queue:
                return None
            uuid = self._queue.pop(0)
            self._set(uuid, status=JobStatus.PROCESSING, attempts=self.jobs[uuid].attempts + 1)
            return self.jobs[uuid]

    def requeue(self, uuid: str) -> None:
        """Put a job that lost its worker back at the head of the queue."""
        with self._changed:
            self._set(uuid, status=JobStatus.QUEUED)
            self._queue.insert(0, uuid)

    def finish(self, uuid: str, *, images: tuple[str, ...], plan: Plan) -> None:
        """Record the pictures."""
        with self._changed:
            self._set(uuid, status=JobStatus.COMPLETED, images=images, plan=plan)

    def fail(self, uuid: str, *, message: str, plan: Plan | None = None) -> None:
        """Record why there are no pictures."""
        with self._changed:
            self._set(uuid, status=JobStatus.ERROR, error=message, **({"plan": plan} if plan else {}))

    def withdraw(self, uuid: str, *, message: str) -> bool:
        """End a job that still waits."""
        with self._changed:
            if uuid not in self._queue:
                return False
            self._queue.remove(uuid)
            self._set(uuid, status=JobStatus.ERROR, error=message)
            return True

    def unfinished(self) -> list[Job]:
        """Give jobs that are at work."""
        with self._changed:
            return [job for job in self.jobs.values() if job.status is JobStatus.PROCESSING]

    def waiting(self) -> int:
        """Count queued jobs."""
        return len(self._queue)

    def until_ended(self, uuid: str, *, timeout_s: float = 120.0) -> Job:
        """Wait until a job has pictures or an error, and give it; raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self.jobs[uuid].status not in _ENDS:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"the job {uuid} is {self.jobs[uuid].status} after {timeout_s} s")
            return self.jobs[uuid]

    def _set(self, uuid: str, **values: Any) -> None:
        self.jobs[uuid] = replace(self.jobs[uuid], **values)
        self._changed.notify_all()
