"""Builds of compiled engines in a service: a queue and a worker process of their own, so that pictures never wait.

Both begin with the first build, and the worker leaves soon after the last.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..contracts.acceleration import Build
from ..contracts.events import Event, Failed
from ..contracts.plan import Plan
from ..contracts.ports import Job, JobStatus
from ..contracts.protocols import HostView
from ..errors import ConfigurationError, TooManyRequestsError
from ..planning.building import plan_build
from ..settings import Settings
from .build_store import BuildJob, BuildStore, network_of
from .handle import WorkerHandle
from .queue import Dispatcher, Outside

__all__ = ["Builds", "Yard"]

WAITING = 16  # builds in the queue
IDLE_S = 15.0  # a builder keeps a model in memory that pictures may need
SILENCE_S = 3600.0  # a library may hold every thread of the builder while it works
NICENESS = 10  # below the worker that draws
logger = logging.getLogger(__name__)
ADVICE = "if the machine is short of memory, build on another one (`stretto engines build --target`), or set memory_limit_bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """What builds are given: how to hire a worker so nice, the settings, whom to tell, and how to clean up."""

    hire: Callable[[int], WorkerHandle]
    settings: Callable[[], Settings]
    publish: Callable[[Event], None]
    last_number: Callable[[str], int]
    sweep: Callable[[], object]  # takes what a killed build left in the cache of engines


class Builds:
    """The builds of one host; every method may be called from any thread."""

    def __init__(self, yard: Yard, host: HostView) -> None:
        self._yard = yard
        self._host = host
        self._store = BuildStore()
        self._dispatcher: Dispatcher | None = None
        self._running = self._closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Build what is submitted, as soon as something is; what a killed server left is taken away at once."""
        self._sweep()
        with self._lock:
            self._running = True
            if self._dispatcher is not None:
                self._dispatcher.start()

    def submit(self, plan: Plan, user_id: int = 0, *, model: str | None = None) -> BuildJob:
        """Queue a plan of one build (`plan_build`); `model` is what its model is called, if not as the plan does.

        Raises TooManyRequestsError when too many wait.
        """
        job = BuildJob(
            uuid=uuid.uuid4().hex,
            user_id=user_id,
            plan=plan,
            created=time.time(),
            model=model or plan.model.name or plan.model.path,
            network=network_of(plan.builds[0]),
        )
        kept = self._queue().submit(job)
        return kept if isinstance(kept, BuildJob) else job

    def stop(self, uuid: str) -> bool:
        """End a build, or take it out of the queue; False when there is none to end."""
        dispatcher = self._dispatcher
        return dispatcher is not None and dispatcher.stop(uuid)

    def get(self, uuid: str) -> BuildJob | None:
        """Give one build of this server."""
        return self._store.get(uuid)

    def all(self) -> tuple[BuildJob, ...]:
        """Give the builds of this server, oldest first."""
        return self._store.all()

    def forget(self, uuid: str) -> bool:
        """Remember a build no longer that is over; False for any other."""
        return self._store.forget(uuid)

    @property
    def worker_pid(self) -> int | None:
        """Give the builder's process id while there is one."""
        return None if self._dispatcher is None else self._dispatcher.worker_pid

    def wake(self, *, renew: bool) -> None:
        """Look at the settings again, as `Dispatcher.wake` does."""
        if self._dispatcher is not None:
            self._dispatcher.wake(renew=renew)

    def close(self) -> None:
        """End the builder, in the middle of a build if need be; idempotent."""
        with self._lock:
            dispatcher, self._dispatcher, self._closed = self._dispatcher, None, True
        if dispatcher is not None:
            dispatcher.close()
            self._sweep()

    # -- what drawing missed -------------------------------------------------------------------

    def in_background(self, job: Job, plan: Plan) -> Plan:
        """Queue what a job that is done would have used, once, and give its plan with what becomes of it."""
        asked = plan.acceleration
        if asked is None or not asked.missing or not (asked.build or self._yard.settings().build_missing):
            return plan
        said = [f"{network_of(build)}: {self._taken_up(job.user_id, plan, build)}" for build in asked.missing]
        return replace(plan, acceleration=replace(asked, why=(*asked.why, *said)))

    def _taken_up(self, user_id: int, plan: Plan, build: Build) -> str:
        before = self._before(plan, build)
        asked = plan.acceleration
        again = asked is not None and asked.build
        if before is not None and before.status is JobStatus.ERROR and not again:
            return f"it is not built again by itself, for that failed ({before.uuid}: {before.error})"
        if before is not None and before.status is not JobStatus.ERROR:
            return f"its engine is being built ({before.uuid})"
        try:
            queued = self.submit(plan_build(plan, build, self._host), user_id)
        except TooManyRequestsError:
            return "its engine is not built now, for too many builds wait; the next job asks again"
        return f"its engine is being built ({queued.uuid})"

    def _before(self, plan: Plan, build: Build) -> BuildJob | None:
        """Give the last build of the same that is at work, waits, or failed; one that worked is no reason."""
        wanted = _essence(plan, build)
        for job in reversed(self._store.all()):
            if job.status is not JobStatus.COMPLETED and _essence(job.plan, job.plan.builds[0]) == wanted:
                return job
        return None

    # -- inside --------------------------------------------------------------------------------

    def _queue(self) -> Dispatcher:
        with self._lock:
            if self._closed:
                raise ConfigurationError("the host is being closed, and builds nothing more")
            if self._dispatcher is None:
                self._dispatcher = Dispatcher(self._outside())
                if self._running:
                    self._dispatcher.start()
            return self._dispatcher

    def _outside(self) -> Outside:
        return Outside(
            store=self._store,
            hire=lambda: self._yard.hire(NICENESS),
            settings=self._settings,
            publish=self._publish,
            last_number=self._yard.last_number,
            chores=self._sweep,
            attempts=1,  # what one build died of, the next would die of as well
            advice=ADVICE,
        )

    def _settings(self) -> Settings:
        now = self._yard.settings()
        return replace(
            now,
            max_queued_invocations=WAITING,
            idle_timeout_s=min(now.idle_timeout_s, IDLE_S),
            silence_timeout_s=max(now.silence_timeout_s, SILENCE_S),
        )

    def _publish(self, event: Event) -> None:
        if isinstance(event, Failed):
            self._sweep()
        self._yard.publish(event)

    def _sweep(self) -> None:
        try:
            self._yard.sweep()
        except OSError as error:  # the next one tries again
            logger.warning("what killed builds left could not be removed: %s", error)


def _essence(plan: Plan, build: Build) -> tuple[Any, ...]:
    """Give what of a plan decides which engine is built."""
    loads = plan.base(), plan.inpainter, plan.inpainter_difference, plan.patches
    return build, *loads, plan.refiner, plan.size, plan.inpainter_size, plan.refiner_size
