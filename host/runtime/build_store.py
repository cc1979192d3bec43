"""The builds of one server, kept in memory: what was built stands in the cache of engines."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from ..contracts.acceleration import Build
from ..contracts.engines import Component
from ..contracts.plan import Plan
from ..contracts.ports import Job, JobStatus
from ..errors import TooManyRequestsError
from ..planning.building import INPAINT_UNET, REFINER_UNET

__all__ = ["BuildJob", "BuildStore", "network_of"]

CAPACITY = 200  # builds that are remembered once they are over


@dataclass(frozen=True, kw_only=True)
class BuildJob(Job):
    """A job whose plan builds one engine: of the model named so, and of that network of it."""

    model: str = ""
    network: str = ""

    @property
    def over(self) -> bool:
        """Say whether it was built, or why it was not is known."""
        return self.status in (JobStatus.COMPLETED, JobStatus.ERROR)


def network_of(build: Build) -> str:
    """Give the word for what is built: the component's, or `inpaint_unet` and `refiner_unet` for those models' UNets."""
    if build.component is Component.UNET and (build.inpainter or build.refiner):
        return INPAINT_UNET if build.inpainter else REFINER_UNET
    return str(build.component)


class BuildStore:
    """A JobStore that forgets at the end; safe to use from several threads. Ids are below zero."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._jobs: OrderedDict[str, BuildJob] = OrderedDict()  # in the order in which they came
        self._count = 0
        self._lock = threading.Lock()

    # -- what a dispatcher uses ----------------------------------------------------------------

    def add(self, job: Job, *, limit: int) -> Job:
        """Keep a queued build and give it with its id; TooManyRequestsError when `limit` builds wait."""
        if not isinstance(job, BuildJob):
            raise TypeError(f"a build is a BuildJob, not a {type(job).__name__}")
        with self._lock:
            if self._waiting() >= limit:
                raise TooManyRequestsError(
                    f"Too many requests. {limit} builds of engines may wait and do; send this one again when "
                    "one of them has ended.",
                    retry_after_s=30,
                )
            self._count += 1
            kept = self._jobs[job.uuid] = replace(job, id=-self._count)
            for old in [one.uuid for one in self._jobs.values() if one.over][: -self._capacity]:
                del self._jobs[old]
            return kept

    def claim(self) -> Job | None:
        """Take the oldest queued build: it is `processing` now and has one attempt more."""
        with self._lock:
            for job in self._jobs.values():
                if job.status is JobStatus.QUEUED:
                    return self._set(
                        job, status=JobStatus.PROCESSING, attempts=job.attempts + 1, started=time.time()
                    )
            return None

    def requeue(self, uuid: str) -> None:
        """Put a build that lost its worker back at the head of the queue."""
        with self._lock:
            self._set(self._jobs[uuid], status=JobStatus.QUEUED)

    def finish(self, uuid: str, *, images: tuple[str, ...], plan: Plan) -> None:
        """Record the plan with what the engine noted in it."""
        with self._lock:
            job = self._jobs[uuid]
            self._set(job, status=JobStatus.COMPLETED, images=images, plan=plan, finished=time.time())

    def fail(self, uuid: str, *, message: str, plan: Plan | None = None) -> None:
        """Record why there is no engine."""
        with self._lock:
            self._end(self._jobs[uuid], message, plan)

    def withdraw(self, uuid: str, *, message: str) -> bool:
        """End a build that still waits, as `fail` does; False when it does not wait (any more)."""
        with self._lock:
            job = self._jobs.get(uuid)
            if job is None or job.status is not JobStatus.QUEUED:
                return False
            self._end(job, message, None)
            return True

    def unfinished(self) -> list[Job]:
        """Give nothing: what another server left in the middle went with it."""
        return []

    def waiting(self) -> int:
        """Count queued builds."""
        with self._lock:
            return self._waiting()

    # -- what pollers use ----------------------------------------------------------------------

    def get(self, uuid: str) -> BuildJob | None:
        """Give one build, None for one that is not known (any more)."""
        with self._lock:
            return self._jobs.get(uuid)

    def all(self) -> tuple[BuildJob, ...]:
        """Give every build that is remembered, oldest first."""
        with self._lock:
            return tuple(self._jobs.values())

    def forget(self, uuid: str) -> bool:
        """Remember a build no longer that is over; False for any other."""
        with self._lock:
            job = self._jobs.get(uuid)
            if job is None or not job.over:
                return False
            del self._jobs[uuid]
            return True

    # -- inside, under the lock ----------------------------------------------------------------

    def _waiting(self) -> int:
        return sum(job.status is JobStatus.QUEUED for job in self._jobs.values())

    def _set(self, job: BuildJob, **values: Any) -> BuildJob:
        changed = self._jobs[job.uuid] = replace(job, **values)
        return changed

    def _end(self, job: BuildJob, message: str, plan: Plan | None) -> None:
        self._set(job, status=JobStatus.ERROR, error=message, plan=plan or job.plan, finished=time.time())
