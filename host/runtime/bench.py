"""What the steps of one job work with: models, ticks, previews, notes, and a memory across jobs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..contracts.acceleration import Build
from ..contracts.engines import Component
from ..contracts.events import Event, Planned, StepEased, StepFinished, StepProgress, StepStarted
from ..contracts.models import ModelSpec, Precision, Role
from ..contracts.plan import Plan
from ..contracts.ports import Job
from ..contracts.protocols import HostView, LoadedModel
from ..contracts.steps import Step
from ..errors import CancelledError
from .machine import Machine
from .meter import Meter
from .previews import write_preview

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..engine.relief import Relief, Rung

__all__ = ["TERMINATED", "JobBench", "Rate"]

TERMINATED = "The invocation was terminated prematurely"  # the contract's words
_REPORT_S = 0.1  # between two StepProgress events
_RATE_WINDOW_S = 5.0

E = TypeVar("E", bound=Event)
T = TypeVar("T")


class Rate:
    """Ticks a second over the last five seconds."""

    def __init__(self, window_s: float = _RATE_WINDOW_S) -> None:
        self._window_s = window_s
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, step: int) -> float | None:
        """Note that `step` ticks are done at `now` (monotonic seconds) and give the rate so far."""
        self._marks.append((now, step))
        while now - self._marks[0][0] > self._window_s and now > self._marks[1][0]:
            self._marks.popleft()
        first_at, first_step = self._marks[0]
        return (step - first_step) / (now - first_at) if now > first_at else None


class JobBench:
    """The Bench of one job; used by one thread. Events are numbered from `number` + 1."""

    def __init__(
        self,
        job: Job,
        host: HostView,
        machine: Machine,
        *,
        tell: Callable[[Event], None],
        cancelled: Callable[[], bool] = lambda: False,
        number: int = 0,
    ) -> None:
        self.job = job.uuid
        self.plan: Plan = _unrecorded(job.plan)
        self.device = machine.device
        self.precision: Precision = machine.precision(job.plan.precision)
        self.folders = host.folders
        self.host = host
        self.ahead: tuple[Step, ...] = ()
        self._machine = machine
        self._tell = tell
        self._cancelled = cancelled
        self._number = number
        self._begun = time.monotonic()
        self._step = self._total = 0
        self._rate = Rate()
        self._speed: float | None = None
        self._task = ""
        self._fresh: tuple[str, ...] = ()
        self._previews = 0
        self._reported_at = 0.0
        self._reported = -1
        self._relief: Relief | None = None
        self.meter = Meter()
        self._seal = machine.seal(job.plan)
        machine.rest(job=True)

    # -- what steps use ------------------------------------------------------------------------

    def model(self, spec: ModelSpec) -> LoadedModel:
        """Load, or reuse, a model through the pool, in this job's precision unless the spec says one."""
        wanted = replace(spec, precision=spec.precision or self.precision)
        if wanted not in self._machine.pool.resident:
            self.tick(f"loading {spec.weights.name or spec.weights.path}", ticks=0)
        self._check()
        model = self._machine.given(wanted, self.note)
        return model if self._relief is None else self._relief.ease(model)

    def tick(self, task: str, *, ticks: int = 1, rate: float | None = None) -> None:
        """Count `ticks` and report at most ten times a second; raises CancelledError when stopped."""
        now = time.monotonic()
        self.meter.tick(task, ticks)
        self._step += ticks
        self._total = max(self._total, self._step)
        self._task = task
        if ticks:
            self._speed = self._rate.mark(now, self._step)
        due = now - self._reported_at >= _REPORT_S
        first = self._reported < min(self._step, 1)
        if due or first or self._fresh or self._step == self._total:
            self._report(now, rate or self._speed)
        self._check()

    def preview(self, images: Callable[[], Sequence[Image]]) -> None:
        """Save intermediates `<job>_<n>.png`, if the plan wants any, and report them with the next tick."""
        if self.plan.intermediates:
            self._fresh = tuple(self._save_preview(image) for image in images())

    def note(self, text: str) -> None:
        """Write a line into the job's record, once."""
        if text not in self.plan.notes:
            self.plan = self.plan.with_note(text)

    def cache(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """Give what was made under `key` before, in this job or an earlier one, or make it."""
        return self._machine.memo.get(key, make)

    def build(self, model: LoadedModel, build: Build, size_px: int) -> None:
        """Build an engine for windows of `size_px` pixels, unless it is there, and verify it where it can run."""
        built = self._machine.engines.built(model, build, size_px, self.building)
        state = built.state if not built.why else f"{built.state}, to be verified where it runs ({built.why})"
        self.note(f"{built.component}: engine {built.digest[:12]} for {built.target}, {state}")
        self.publish(built)

    def compiled(self, model: LoadedModel) -> AbstractContextManager[None]:
        """Send calls of the model's networks to compiled engines where the plan asks for them, while it lasts."""
        if self.plan.acceleration is None:
            return nullcontext()
        return self._machine.engines.swapped(model, self.plan, self)

    # -- what compiled engines tell ------------------------------------------------------------

    def compiled_did(self, component: Component) -> None:
        """Write into the record that an engine did the work of a component."""
        asked = self.plan.acceleration
        if asked is not None and component not in asked.used:
            self.plan = replace(self.plan, acceleration=replace(asked, used=(*asked.used, str(component))))

    def torch_did(self, why: str) -> None:
        """Write into the record why torch did what was asked of an engine, once."""
        asked = self.plan.acceleration
        if asked is not None and why not in asked.why:
            self.plan = replace(self.plan, acceleration=replace(asked, why=(*asked.why, why)))

    def windowed(self, component: Component, size_px: int) -> None:
        """Write into the record that an engine of one size draws what is larger in windows, once."""
        self.note(
            f"{component}: its engine takes {size_px} x {size_px} px, so larger pictures are drawn in windows of it"
        )

    def missed(self, model: LoadedModel, component: Component) -> None:
        """Write into the record which engine would have been used."""
        asked, role = self.plan.acceleration, model.spec.role
        if asked is None or role not in (Role.BASE, Role.INPAINTER, Role.REFINER):
            return
        build = Build(
            component=component,
            compiler=asked.requested,
            inpainter=role is Role.INPAINTER,
            refiner=role is Role.REFINER,
            profile=self.plan.engine_profile,
        )
        if build not in asked.missing:
            self.plan = replace(self.plan, acceleration=replace(asked, missing=(*asked.missing, build)))

    def building(self, phase: str, share: float | None) -> None:
        """Report how far a build is; raises CancelledError when stopped."""
        done = "" if share is None else f", {share:.0%}"
        self.tick(f"{phase}{done}", ticks=0)

    # -- what the executor uses ----------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Give the time since the job came to this bench."""
        return time.monotonic() - self._begun

    def begin(self, tasks: Sequence[str], total: int) -> None:
        """Say which steps there are and how many ticks they take."""
        self._total = total
        self.publish(Planned(job=self.job, steps=tuple(tasks), total=total))

    @contextmanager
    def during(self, run: Plan) -> Iterator[None]:
        """Work on one iteration of the plan; what is noted in it is noted in the plan."""
        whole = self.plan
        self.plan = replace(run, notes=whole.notes, acceleration=whole.acceleration)
        try:
            yield
        finally:
            self.plan = replace(whole, notes=self.plan.notes, acceleration=self.plan.acceleration)

    def identify(self) -> None:
        """Write the SHA-256 of every file into the plan; waits until all are read.

        Raises WeightsError for a file that is another one than the plan was drawn with.
        """
        while not self._seal.ready(within_s=_REPORT_S):
            self.tick("reading the SHA-256 of files", ticks=0)
        self.plan = self._seal.on(self.plan, self.note)

    @contextmanager
    def stage(self, task: str) -> Iterator[None]:
        """Frame one step with its events; a stopped job does not begin another."""
        self._check()
        self._machine.rest()
        begun = time.monotonic()
        self.publish(StepStarted(job=self.job, task=task))
        yield
        if self._step > max(self._reported, 0):
            self._report(time.monotonic(), self._speed)
        self.publish(StepFinished(job=self.job, task=task, seconds=time.monotonic() - begun))

    def mark(self) -> int:
        """Give how many ticks are done, to go `back_to`."""
        return self._step

    def back_to(self, mark: int) -> None:
        """Take back what was counted since a mark: the step begins anew."""
        self._step = mark
        self._rate = Rate()

    @contextmanager
    def eased(self, rungs: frozenset[Rung]) -> Iterator[None]:
        """Give models out meanwhile so that they take less memory, by these rungs of the ladder."""
        from ..engine.relief import Relief

        with Relief(rungs) as relief:
            self._relief = relief
            try:
                yield
            finally:
                self._relief = None

    def do(self, work: Callable[[], T]) -> T:
        """Have a step done, by a thread that can be relied on."""
        return self._machine.hands.do(work)

    def relieve(self) -> str | None:
        """Free the device of models that can go, and say which; None if there are none."""
        return self._machine.relieve()

    def say_eased(self, task: str, rung: str) -> None:
        """Write into the record that a step begins anew, and with what."""
        self.note(f"the memory was full at '{task}': again, and {rung}")
        self.publish(StepEased(job=self.job, task=task, rung=rung))

    @property
    def bound_bytes(self) -> int | None:
        """Give what this process may take on its device, None for all there is."""
        return self._machine.bound_bytes

    def stamped(self, event: E) -> E:
        """Give an event this job's name, the next number and the time."""
        self._number += 1
        return replace(event, job=self.job, number=self._number, at=time.time())

    def publish(self, event: Event) -> None:
        """Send an event on as this job's."""
        self._tell(self.stamped(event))

    # -- inside --------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._cancelled():
            raise CancelledError(TERMINATED)

    def _report(self, now: float, rate: float | None) -> None:
        self.publish(
            StepProgress(
                job=self.job,
                step=self._step,
                total=self._total,
                rate=rate,
                task=self._task,
                intermediates=self._fresh,
            )
        )
        self._reported_at, self._reported, self._fresh = now, self._step, ()

    def _save_preview(self, image: Image) -> str:
        name = f"{self.job}_{self._previews}.png"
        self._previews += 1
        write_preview(image, self.folders.intermediates, name)
        return name


def _unrecorded(plan: Plan) -> Plan:
    """Give a plan without what came of its engines, and what plugins cost, when it was drawn before."""
    if plan.acceleration is None:
        return replace(plan, costs=())
    return replace(plan, costs=(), acceleration=replace(plan.acceleration, used=(), why=(), missing=()))
