"""One thread that takes jobs from the store to the worker and what becomes of them back.

It waits for a message, the worker's end, a ring or a deadline, whichever is first, and outlives
whatever a turn raises. It knows nothing of steps, models or pictures.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Literal

from ..contracts.costs import Measured, Spent
from ..contracts.events import Event, Failed, Finished, Queued, Started
from ..contracts.plan import Plan
from ..contracts.ports import Job, JobStore
from ..errors import CancelledError, StrettoError, WorkerDiedError
from ..settings import Settings
from .bell import Bell
from .bench import TERMINATED
from .executor import failure
from .handle import WorkerHandle
from .messages import Cancel, Done, Run, Up

__all__ = ["Dispatcher", "Outside", "job_of"]

ATTEMPTS = 2
ADVICE = "if the machine is short of memory, lower width, height or samples"
GRACE_S = 5.0  # for a job that was stopped to notice it
TIMED_OUT = "Invocation timed out."  # the contract's words
_AFTER_ERROR_S = 0.5, 10.0  # at first, and at last: a full disk is not helped by a log of every try
_CHORES_S = 600.0
_LOOK_S = 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a dispatcher is given: the jobs, how to hire a worker, whom to tell, what to do now and then.

    `settle` gives the plan to keep of a job that is done. `attempts` are the workers that a job may lose,
    `advice` is what to do then.
    """

    store: JobStore
    hire: Callable[[], WorkerHandle]
    settings: Callable[[], Settings]
    publish: Callable[[Event], None]  # events without a number get the job's next
    last_number: Callable[[str], int]
    chores: Callable[[], object]
    settle: Callable[[Job, Plan], Plan] = lambda _job, plan: plan
    attempts: int = ATTEMPTS
    advice: str = ADVICE


@dataclass(slots=True)
class _Active:
    """The job that the worker has; `verdict` is what it fails with if the worker has to be killed."""

    job: Job
    verdict: StrettoError | None = None
    cancel_by: float | None = None
    delivered: bool = False  # the worker is done with it
    over: threading.Event = field(default_factory=threading.Event)


class Dispatcher:
    """The queue at work; `submit` and `stop` may be called from any thread."""

    def __init__(self, outside: Outside) -> None:
        self._out = outside
        self._bell = Bell()
        self._gate = threading.RLock()  # held where a job changes between waiting and active
        self._worker: WorkerHandle | None = None
        self._active: _Active | None = None
        self._stale = False
        self._closing = threading.Event()
        self._chores_at = 0.0
        self._waiting = 0  # jobs, as far as is known here; changed while the gate is held
        self._look_at = 0.0
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    # -- from any thread -----------------------------------------------------------------------

    def start(self) -> None:
        """Take up what the last host left unfinished, and begin."""
        for job in reversed(self._out.store.unfinished()):  # each goes to the head of the queue
            if job.attempts < self._out.attempts:
                self._out.store.requeue(job.uuid)
            else:
                self._out.store.fail(job.uuid, message=self._given_up(job, "the server stopped"))
        self._waiting = self._out.store.waiting()
        self._thread.start()

    def submit(self, job: Job) -> Job:
        """Keep a job and wake the dispatcher; raises TooManyRequestsError when the queue is full."""
        with self._gate:
            room = self._out.settings().max_queued_invocations + (self._active is None)
            kept = self._out.store.add(job, limit=room)
            self._waiting += 1
            self._out.publish(Queued(job=kept.uuid, position=self._waiting - 1))
        self._bell.ring()
        return kept

    def stop(self, uuid: str | None) -> bool:
        """End the active job, or the one named; waits until it is over. False when there is none."""
        with self._gate:
            active = self._active
            if active is None or uuid not in (None, active.job.uuid):
                return uuid is not None and self._withdraw(uuid)
            active.verdict = CancelledError(TERMINATED)
        self._bell.ring()
        if threading.current_thread() is not self._thread:  # an observer may call this
            active.over.wait(2 * GRACE_S)
        return True

    def wake(self, *, renew: bool = False) -> None:
        """Look at the settings again; `renew` lets the next job have a new worker."""
        self._stale = self._stale or renew
        self._bell.ring()

    @property
    def status(self) -> Literal["idle", "ready", "busy"]:
        """Say `busy` with a job, `ready` with a worker process, `idle` with neither."""
        if self._active is not None:
            return "busy"
        return "ready" if self._worker is not None else "idle"

    @property
    def running(self) -> bool:
        """Say whether jobs are taken up."""
        return self._thread.is_alive() and not self._closing.is_set()

    @property
    def worker_pid(self) -> int | None:
        """Give the worker's process id while there is one."""
        worker = self._worker
        return worker.pid if worker is not None else None

    def close(self) -> None:
        """End thread and worker; a job in the middle stays `processing` in the store for the next host."""
        self._closing.set()
        self._bell.ring()
        if self._thread.is_alive():
            self._thread.join()
        self._bell.close()

    def _withdraw(self, uuid: str) -> bool:
        withdrawn = self._out.store.withdraw(uuid, message=TERMINATED)
        if withdrawn:
            self._waiting = max(0, self._waiting - 1)
            self._out.publish(Failed(job=uuid, title=CancelledError.title, message=TERMINATED))
        return withdrawn

    # -- the dispatcher's own thread -----------------------------------------------------------

    def _run(self) -> None:
        if hasattr(signal, "pthread_sigmask"):  # workers inherit it: Ctrl-C is their parent's to handle
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        failures = 0
        while not self._closing.is_set():
            try:
                self._turn()
                failures = 0
            except Exception as error:
                logger.exception("a turn of the queue failed; the queue goes on")
                self._sacrifice(error)
                self._closing.wait(_pause_s(failures))
                failures += 1
        worker, self._worker = self._worker, None
        if worker is not None:
            if self._active is None:
                worker.quit()
            worker.close()

    def _turn(self) -> None:
        self._begin()
        self._listen()
        if self._worker is not None and self._worker.dead:
            self._bury(self._worker)
        self._mind_the_clock(time.monotonic())

    def _begin(self) -> None:
        """Give the worker the next job, if it has none."""
        if self._active is None:
            if self._worker is not None and self._worker.dead:
                self._bury(self._worker)
            if self._stale:
                self._dismiss()
            with self._gate:
                job = self._next()
                if job is None:
                    return
                self._active = _Active(job)
            self._out.publish(Started(job=job.uuid, attempt=job.attempts))
            if self._worker is None:
                self._worker = self._out.hire()
            self._worker.last_heard = time.monotonic()
            self._worker.send(Run(job=job, number=self._out.last_number(job.uuid)))

    def _next(self) -> Job | None:
        """Claim the next job; where none is known to wait, the store is asked once a second only."""
        now = time.monotonic()
        if not self._waiting and now < self._look_at:
            return None
        job = self._out.store.claim()
        self._waiting, self._look_at = max(0, self._waiting - 1) if job else 0, now + _LOOK_S
        return job

    def _listen(self) -> None:
        """Wait for the first thing to happen and take every message that is there."""
        worker = self._worker
        waitables = worker.waitables() if worker is not None else []
        if self._bell.ear in wait([self._bell.ear, *waitables], self._patience_s()):
            self._bell.hush()
        if worker is not None:
            for message in worker.messages():
                self._take(message, worker)

    def _take(self, message: Up, worker: WorkerHandle) -> None:
        match message:
            case Done():
                worker.idle_since = time.monotonic()
                self._conclude(message)
            case Event():
                self._out.publish(message)

    def _conclude(self, done: Done) -> None:
        active = self._active
        if active is None or active.job.uuid != done.outcome.job:
            return
        active.delivered = True
        match done.outcome:
            case Finished(images=images):
                plan = self._out.settle(active.job, done.plan)
                self._out.store.finish(active.job.uuid, images=images, plan=plan)
            case Failed(message=message):
                self._out.store.fail(active.job.uuid, message=message, plan=done.plan)
        self._over(active, done.outcome)

    def _over(self, active: _Active, outcome: Event) -> None:
        with self._gate:
            self._active = None
            self._out.publish(outcome)
        active.over.set()

    def _fail(self, active: _Active, error: Exception) -> None:
        title, message = failure(error)
        self._out.store.fail(active.job.uuid, message=message)
        self._over(active, Failed(job=active.job.uuid, title=title, message=message))

    def _bury(self, worker: WorkerHandle) -> None:
        """Give the dead worker's job another try, or up."""
        for message in worker.messages():  # what it still had said
            self._take(message, worker)
        epitaph = worker.epitaph()
        worker.close()
        self._worker = None
        active = self._active
        if active is None:
            logger.warning("the idle worker is gone (%s)", epitaph)
            return
        logger.warning("the worker is gone under job %s (%s)", active.job.uuid, epitaph)
        if worker.crashed and active.verdict is None and worker.at_work is not None:
            plugin, hook, doing = worker.at_work
            crash = Spent(
                plugin=plugin, hook=hook, calls=0, seconds=0.0, failures=1, last=f"{doing}: {epitaph}"
            )
            self._out.publish(Measured(job=active.job.uuid, plugins=(crash,)))
        with self._gate:
            if active.verdict is None and active.job.attempts < self._out.attempts:
                self._out.store.requeue(active.job.uuid)
                self._waiting += 1
                self._over(active, Queued(job=active.job.uuid, position=0))
                return
        if active.verdict is None and not worker.ready:
            epitaph = f"Engine process died before it became responsive: {epitaph}"
        self._fail(active, active.verdict or WorkerDiedError(self._given_up(active.job, epitaph)))

    def _mind_the_clock(self, now: float) -> None:
        worker, active = self._worker, self._active
        if worker is None:
            pass
        elif active is None:
            if now >= worker.idle_since + self._out.settings().idle_timeout_s:
                self._dismiss()
        elif isinstance(active.verdict, CancelledError):
            self._press(worker, active, now)
        elif now >= worker.last_heard + self._out.settings().silence_timeout_s:
            active.verdict = WorkerDiedError(TIMED_OUT)
            worker.kill()
        if now >= self._chores_at:
            self._chores_at = now + _CHORES_S
            self._out.chores()

    def _press(self, worker: WorkerHandle, active: _Active, now: float) -> None:
        """Ask the worker to leave its job; kill it when it doesn't."""
        if active.cancel_by is None:
            active.cancel_by = now + GRACE_S
            worker.send(Cancel(uuid=active.job.uuid))
        elif now >= active.cancel_by:
            worker.kill()

    def _patience_s(self) -> float:
        """Give the seconds to the next deadline; 0 when there is something to do at once."""
        worker, active, settings = self._worker, self._active, self._out.settings()
        deadlines = [self._chores_at]
        if active is not None and active.verdict is not None:
            deadlines.append(active.cancel_by or 0.0)
        elif worker is not None and active is not None:
            deadlines.append(worker.last_heard + settings.silence_timeout_s)
        elif worker is not None:
            deadlines.append(worker.idle_since + settings.idle_timeout_s)
        return max(0.0, min(deadlines) - time.monotonic())

    def _dismiss(self) -> None:
        worker, self._stale = self._worker, False
        if worker is not None:
            worker.quit()
            worker.close()
            self._worker = None

    def _sacrifice(self, error: Exception) -> None:
        """Fail the job under which a turn raised, so that the next one finds the queue in order."""
        active, worker = self._active, self._worker
        if active is None:
            return
        if worker is not None and not active.delivered:
            self._worker = None
            worker.close()
        try:
            self._fail(active, error)
        except Exception:
            logger.exception("job %s could not be recorded as failed", active.job.uuid)
            self._over(active, Failed(job=active.job.uuid, message=str(error)))

    def _given_up(self, job: Job, how: str) -> str:
        times = "once" if job.attempts == 1 else f"{job.attempts} times"
        return f"the worker process died {times} under this job, which was given up (last: {how}); {self._out.advice}"


def job_of(plan: Plan, user_id: int) -> Job:
    """Give a plan a name of its own."""
    return Job(uuid=uuid.uuid4().hex, user_id=user_id, plan=plan, created=time.time())


def _pause_s(failures: int) -> float:
    first, last = _AFTER_ERROR_S
    return min(first * 2.0 ** min(failures, 10), last)
