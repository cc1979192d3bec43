"""The host: opens plugins and folders, plans requests, and has jobs run by its worker or right here.

It imports no torch; the worker does, and this process only when `run_here` is called.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from ..catalog.library import Library
from ..contracts.events import Event, Failed, Finished, Started
from ..contracts.models import WeightFile
from ..contracts.plan import Plan
from ..contracts.ports import Job, JobStore
from ..contracts.request import InvocationRequest
from ..errors import ConfigurationError, EngineError, StrettoError
from ..planning.safety import require_checker
from ..plugboard.board import Board, PluginRow
from ..plugboard.parameters import plan_through
from ..plugboard.switches import Switches, read_switches
from ..plugboard.tables import read_table
from ..settings import Folders, Settings
from .audience import Audience
from .builds import Builds, Yard
from .fittings import Fittings, fit_out
from .guarding import Guarding
from .handle import NAME, WorkerHandle
from .messages import Boot
from .premises import check_writable, make
from .previews import sweep
from .progress import Progress, ProgressLog
from .queue import Dispatcher, Outside, job_of
from .reloading import Reloading

if TYPE_CHECKING:
    from .machine import Machine

__all__ = ["Host"]

T = TypeVar("T")
NO_QUEUE = "this host was opened without a job store, so it has no queue; use run_here"
# Settings that a worker takes in when it is hired.
_WORKER_SETTINGS = (
    "safe",
    "switch_mode",
    "cache_mode",
    "precision",
    "pool_budget_bytes",
    "memory_limit_bytes",
)


class Host:
    """One host, from `open` to `close`; a HostView for its plugins."""

    def __init__(self, folders: Folders, settings: Settings, switches: Switches) -> None:
        self.version = installed_version("stretto")
        self.folders = folders
        self.settings = settings
        self._fittings = Fittings(switches)
        self._tried = threading.local()  # other fittings, which this thread alone sees while it tries them
        self._log = ProgressLog()
        self._audience = Audience(lambda event: self.board.observe(event))  # noqa: PLW0108  # of that time
        self._hear: Callable[[Event], None] = self._record
        self.guarding = Guarding(folders.root)
        self._listeners: list[Callable[[Event], None]] = [self.guarding.hear]
        self._dispatcher: Dispatcher | None = None
        self._builds: Builds | None = None
        self._reloading: Reloading | None = None
        self._machine: Machine | None = None
        self._closers = ExitStack()

    @classmethod
    def open(
        cls,
        folders: Folders,
        settings: Settings,
        *,
        plugins_file: Path | None = None,
        switches: Switches | None = None,
        store: JobStore | None = None,
    ) -> Self:
        """Make the folders, plug in, look for weights; a host without `store` only plans and runs here.

        `switches` are used as if they stood in the plugins file.
        Raises ConfigurationError, PluginClashError or PluginError as `Board.open` does, and
        ConfigurationError for a data directory that cannot be made.
        """
        make(folders)
        host = cls(folders, settings, switches or read_switches(plugins_file, folders.root))
        host._closers.enter_context(host.guarding)
        fit_out(host, host._fittings)
        host._closers.callback(lambda: host.fittings.close())  # noqa: PLW0108  # of that time
        host._closers.callback(host._audience.close)
        if store is not None:
            host._builds = Builds(host._yard(), host)
            host._closers.callback(host._builds.close)
            host._dispatcher = Dispatcher(host._outside(store, host._builds))
            host._reloading = Reloading(host, plugins_file)
            host._closers.callback(host._reloading.close)
        return host

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Take up unfinished jobs and run what is submitted.

        Raises ConfigurationError without a store, and where the setting `safe` has nothing to check with.
        """
        import multiprocessing

        if multiprocessing.current_process().name == NAME:
            raise ConfigurationError(
                "the host was started while its worker imports your main script; put the lines that "
                "start it under `if __name__ == '__main__':`"
            )
        require_checker(self.folders, safe=self.settings.safe)
        dispatcher = self._queue()
        self.guarding.keep(self._dropped)
        self.board.start()
        self._audience.start()
        dispatcher.start()
        self.builds.start()
        self._closers.callback(dispatcher.close)

    def close(self) -> None:
        """Stop the queue, end the worker, let go of models and plugins; idempotent."""
        self._closers.close()
        self._machine = None

    # -- what plugins see ----------------------------------------------------------------------

    def offers(self, kind: str) -> Mapping[str, Any]:
        """Give the specs of one kind (`schedulers`, `models`, ...) by name, aliases excluded."""
        return dict(self.board.registry(kind).items())

    def offer(self, kind: str, name: str) -> Any:
        """Give one spec by name or alias; NotFoundError with the nearest name."""
        return self.board.registry(kind).get(name)

    def resolve_model(self, name: str, *, kinds: Sequence[str] = ()) -> WeightFile:
        """Find weights by name, file name or path inside the model folders."""
        return self.library.resolve(name, kinds)

    def resolve_vae(self, name: str) -> WeightFile:
        """Find a VAE by offered name or file name."""
        return self.library.resolve_vae(name, self.offers("vaes"))

    def plugin_settings(self, name: str, into: type[T]) -> T:
        """Read the table `[plugins.NAME]` of plugins.toml into the plugin's own dataclass."""
        return self.fittings.switches.plugin_settings(name, into)

    def plugin_parameters(self, name: str, into: type[T], asked: InvocationRequest | Plan) -> T:
        """Read `plugins: {NAME: {...}}` of a request or a plan into the plugin's own dataclass."""
        return read_table(asked.plugins.get(name, {}), into, f"plugins.{name}")

    def publish(self, event: Event) -> None:
        """Tell everybody who observes; while a job runs here, as that job's event."""
        self._hear(event)

    # -- what the API and the command use ------------------------------------------------------

    @property
    def reloading(self) -> Reloading:
        """Give what changes the plugins while the host runs; raises ConfigurationError without a store."""
        if self._reloading is None:
            raise ConfigurationError(NO_QUEUE)
        return self._reloading

    @property
    def fittings(self) -> Fittings:
        """Give what there is of plugins at the moment, or what this thread tries."""
        found: Fittings = getattr(self._tried, "fittings", self._fittings)
        return found

    @property
    def board(self) -> Board:
        """Give the plugin board; raises ConfigurationError while plugins are still being asked."""
        board = self.fittings.board
        if board is None:
            raise ConfigurationError(
                "offers are not complete while plugins make theirs; look them up when a request comes, "
                "or in host_started"
            )
        return board

    @property
    def library(self) -> Library:
        """Give the weights that there are."""
        library = self.fittings.library
        if library is None:
            raise ConfigurationError("weights are not known while plugins are still making their offers")
        return library

    def look(self) -> None:
        """Take up what somebody changed of the plugins since the last look; a few calls of stat where nobody did."""
        if self._reloading is not None:
            self._reloading.look()

    def plugins(self) -> tuple[PluginRow, ...]:
        """Give one row for each plugin, those that are off or broken too."""
        self.look()
        return self.board.rows()

    def plan(self, request: InvocationRequest) -> Plan:
        """Resolve a request; pure. Raises InvalidRequestError or NotFoundError for unknown words."""
        self.look()
        with self.fittings.used():
            return plan_through(self.board, request, self)

    def submit(self, plan: Plan, user_id: int = 0, *, named: str | None = None) -> Job:
        """Keep a job, durably, and have it run; raises TooManyRequestsError when the queue is full.

        `named` is its uuid (32 hex digits, never used before), where that was promised already.
        """
        job = job_of(plan, user_id)
        return self._queue().submit(job if named is None else replace(job, uuid=named))

    def stop(self, uuid: str | None = None) -> bool:
        """End the active job, or the named one; False when there is none to end."""
        return self._queue().stop(uuid)

    @property
    def builds(self) -> Builds:
        """Give the builds of compiled engines, which have a queue of their own."""
        if self._builds is None:
            raise ConfigurationError(NO_QUEUE)
        return self._builds

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have a function that neither waits nor raises told of every event from now on, in its order."""
        self._listeners.append(listener)

    def progress(self, uuid: str) -> Progress | None:
        """Say how far a job is; None for one that this host has not seen since it was opened."""
        return self._log.get(uuid)

    def status(self) -> Literal["idle", "ready", "busy"]:
        """Say `busy` with a job at work, `ready` with a worker process, `idle` with neither."""
        return self._dispatcher.status if self._dispatcher is not None else "idle"

    @property
    def running(self) -> bool:
        """Say whether the queue is at work: from `start` to `close`."""
        return self._dispatcher is not None and self._dispatcher.running

    @property
    def worker_pid(self) -> int | None:
        """Give the worker's process id while there is one."""
        return self._dispatcher.worker_pid if self._dispatcher is not None else None

    def update_settings(self, settings: Settings) -> None:
        """Use other settings from now on; a running job ends with those that it began with."""
        changed = any(getattr(settings, name) != getattr(self.settings, name) for name in _WORKER_SETTINGS)
        self.settings = settings
        if self._dispatcher is not None:
            self._dispatcher.wake(renew=changed)
        if self._builds is not None:
            self._builds.wake(renew=changed)

    def run_here(
        self,
        plan: Plan,
        on_event: Callable[[Event], None] = lambda _event: None,
        on_plan: Callable[[Plan], None] = lambda _plan: None,
    ) -> Finished:
        """Run a plan here and give what came of it, `on_plan` the plan that is recorded; raises StrettoError."""
        from .bench import JobBench
        from .executor import conduct, failure

        check_writable(self.folders)

        def tell(event: Event) -> None:
            self._record(event)
            on_event(event)

        bench = JobBench(job_of(plan, 0), self, self._here(), tell=tell)
        self.guarding.own(bench.job)
        bench.publish(Started(job=bench.job, attempt=1))
        with self.heard_by(bench.publish):
            try:
                finished = conduct(self.board, bench)
            except Exception as error:
                title, message = failure(error)
                bench.publish(Failed(job=bench.job, title=title, message=message, seconds=bench.seconds))
                if isinstance(error, StrettoError):
                    raise
                raise EngineError(message) from error
        on_plan(bench.plan)
        tell(finished)
        return finished

    @contextmanager
    def trying(self, fittings: Fittings) -> Iterator[None]:
        """Have this thread, and no other one, see other fittings meanwhile."""
        self._tried.fittings = fittings
        try:
            yield
        finally:
            del self._tried.fittings

    def fit(self, fittings: Fittings) -> None:
        """Use other fittings from now on; the worker is renewed after its job."""
        self._fittings = fittings
        self._renew()

    @contextmanager
    def heard_by(self, hear: Callable[[Event], None]) -> Iterator[None]:
        """Send what plugins and pool publish to `hear` meanwhile."""
        before, self._hear = self._hear, hear
        try:
            yield
        finally:
            self._hear = before

    # -- inside --------------------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        if event.number == 0:
            event = replace(event, number=self._log.last_number(event.job) + 1, at=time.time())
        if event.job:  # the pool speaks of no job when it closes
            self._log.apply(event)
        if self.board.having("observe"):  # waking a thread costs more than asking
            self._audience.hear(event)
        for listener in self._listeners:
            listener(event)

    def _dropped(self, name: str, why: str) -> None:
        """Go on without a plugin that was switched off; jobs that wait are run by another worker."""
        self.board.switch_off(name, why)
        self._renew()

    def _renew(self) -> None:
        for queue in (self._dispatcher, self._builds):
            if queue is not None:
                queue.wake(renew=True)

    def _queue(self) -> Dispatcher:
        if self._dispatcher is None:
            raise ConfigurationError(NO_QUEUE)
        return self._dispatcher

    def _outside(self, store: JobStore, builds: Builds) -> Outside:
        return Outside(
            store=store,
            hire=self._hire,
            settings=lambda: self.settings,
            publish=self._record,
            last_number=self._log.last_number,
            chores=lambda: sweep(self.folders.intermediates),
            settle=builds.in_background,
        )

    def _yard(self) -> Yard:
        return Yard(
            hire=self._hire,
            settings=lambda: self.settings,
            publish=self._record,
            last_number=self._log.last_number,
            sweep=self._sweep_engines,
        )

    def _sweep_engines(self) -> None:
        from stretto.trt_cache.store import EngineStore

        EngineStore(self.folders.engines).sweep()

    def _hire(self, niceness: int = 0) -> WorkerHandle:
        boot = Boot(
            folders=self.folders,
            settings=self.settings,
            switches=self._fittings.switches,
            parent_pid=os.getpid(),
            niceness=niceness,
        )
        return WorkerHandle(boot)

    def _here(self) -> Machine:
        if self._machine is None:
            from .machine import Machine

            self._machine = self._closers.enter_context(Machine.open(self))
            self.guarding.keep(self._dropped)
            self.board.start()
        return self._machine
