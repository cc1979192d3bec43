"""What the server measures of itself, as Prometheus reads it: https://prometheus.io/docs/practices/naming/.

Everything is fed by what happens: events of jobs, and answers to requests. Labels are words of which there
are few: never a prompt, a uuid, an address or a path.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.registry import Collector
from stretto.host.contracts.costs import Measured, Spent
from stretto.host.contracts.events import (
    EngineBuilt,
    Event,
    Failed,
    Finished,
    ModelEvicted,
    ModelLoaded,
    ModelMoved,
    Queued,
    Started,
    StepEased,
)
from stretto.host.errors import CancelledError

__all__ = ["FAMILIES", "NAMES", "OTHER", "UNROUTED", "Family", "Telemetry"]

OTHER = "other"  # a name beyond those that there is room for
UNROUTED = "(none)"  # the route of a request that is for none
NAMES = 100  # of models, and of errors, that get a label of their own
JOBS = 10_000  # whose beginning is remembered

WAIT_S = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200)
JOB_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
STAGE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
TICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
HTTP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
LOAD_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
BUILD_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: a counter, or a histogram where it has `buckets`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FAMILIES = (
    Family("stretto_invocations_queued_total", "Invocations that were taken in, again after a worker died."),
    Family("stretto_invocations_total", "Invocations that are over.", ("outcome",)),
    Family("stretto_invocation_failures_total", "Invocations that failed, by the title of the error.", ("error",)),
    Family("stretto_invocation_restarts_total", "Invocations that began anew because their worker died."),
    Family("stretto_queue_wait_seconds", "Time from being queued to being started.", (), WAIT_S),
    Family("stretto_invocation_duration_seconds", "Time from start to end.", ("outcome",), JOB_S),
    Family("stretto_images_total", "Pictures that invocations ended with."),
    Family("stretto_stage_duration_seconds", "Time of one stage of a plan.", ("stage",), STAGE_S),
    Family(
        "stretto_step_duration_seconds",
        "Time of one step within a stage, such as a step of denoising over one window.",
        ("stage",),
        TICK_S,
    ),
    Family("stretto_stages_eased_total", "Stages that began anew because the device was full."),
    Family("stretto_model_loads_total", "Models that were loaded.", ("model",)),
    Family("stretto_model_load_duration_seconds", "Time to load a model.", (), LOAD_S),
    Family("stretto_model_evictions_total", "Models that were let go of.", ("model",)),
    Family("stretto_model_moves_total", "Models that were moved onto the device or off it.", ("model",)),
    Family("stretto_engine_hits_total", "Invocations in which an engine did a component's work.", ("compiler", "component")),
    Family("stretto_engine_misses_total", "Components that torch ran though an engine was asked for.", ("compiler",)),
    Family("stretto_engine_builds_total", "Engines that were built.", ("compiler", "component", "state")),
    Family("stretto_engine_build_duration_seconds", "Time to build an engine.", ("compiler",), BUILD_S),
    Family("stretto_plugin_calls_total", "Calls of a plugin's hooks.", ("plugin", "hook")),
    Family("stretto_plugin_seconds_total", "Time that a plugin's hooks took.", ("plugin", "hook")),
    Family(
        "stretto_plugin_failures_total",
        "Calls of a plugin's hooks that raised what is no answer to the request.",
        ("plugin", "hook"),
    ),
    Family(
        "stretto_plugin_overruns_total", "Calls of a plugin's hooks that ran past their limit.", ("plugin", "hook")
    ),
    Family("stretto_http_requests_total", "Requests that were answered.", ("method", "route", "status")),
    Family(
        "stretto_http_request_duration_seconds",
        "Time to an answer; to the first byte of a stream.",
        ("method", "route"),
        HTTP_S,
    ),
)  # fmt: skip


class Telemetry:
    """The metrics of one server; safe to use from any thread."""

    def __init__(self, jobs: int = JOBS, names: int = NAMES) -> None:
        self.registry = CollectorRegistry()
        self.before: Callable[[], None] = lambda: None  # what is to be counted first at each scrape
        self.registry.register(_First(self))  # collectors are asked in their order
        self._families = {one.name: _made(one, self.registry) for one in FAMILIES}
        self._queued = _Times(jobs)
        self._started = _Times(jobs)
        self._models, self._errors = _Names(names), _Names(names)
        self._heard: dict[type[Event], Callable[[Any], None]] = {
            Queued: self._on_queued,
            Started: self._on_started,
            Finished: self._on_finished,
            Failed: self._on_failed,
            Measured: self._on_measured,
            ModelLoaded: self._on_loaded,
            ModelEvicted: lambda event: self._count("stretto_model_evictions_total", self._model(event)),
            ModelMoved: lambda event: self._count("stretto_model_moves_total", self._model(event)),
            StepEased: lambda _: self._count("stretto_stages_eased_total"),
            EngineBuilt: self._on_built,
        }

    def hear(self, event: Event) -> None:
        """Count an event; neither waits nor raises."""
        heard = self._heard.get(type(event))
        if heard is not None:
            heard(event)

    def route(self, method: str, path: str) -> Callable[[int, float], None]:
        """Give what counts an answer of a route, by its status and how many seconds it took."""
        requests = self._families["stretto_http_requests_total"]
        took = self._families["stretto_http_request_duration_seconds"].labels(method, path)

        def answered(status: int, seconds: float) -> None:
            requests.labels(method, path, status).inc()
            took.observe(seconds)

        return answered

    def charge(self, spent: Sequence[Spent]) -> None:
        """Count what plugins took."""
        for one in spent:
            self._count("stretto_plugin_calls_total", one.plugin, one.hook, by=one.calls)
            self._count("stretto_plugin_seconds_total", one.plugin, one.hook, by=one.seconds)
            self._count("stretto_plugin_failures_total", one.plugin, one.hook, by=one.failures)
            if one.overruns:
                self._count("stretto_plugin_overruns_total", one.plugin, one.hook, by=one.overruns)

    # -- inside --------------------------------------------------------------------------------

    def _on_queued(self, event: Queued) -> None:
        self._count("stretto_invocations_queued_total")
        self._queued.begin(event)

    def _on_started(self, event: Started) -> None:
        self._started.begin(event)
        waited = self._queued.end(event)
        if waited is not None:
            self._observe("stretto_queue_wait_seconds", waited)
        if event.attempt > 1:
            self._count("stretto_invocation_restarts_total")

    def _on_finished(self, event: Finished) -> None:
        self._over(event, "completed")
        self._count("stretto_images_total", by=len(event.images))

    def _on_failed(self, event: Failed) -> None:
        stopped = event.title == CancelledError.title
        self._over(event, "stopped" if stopped else "failed")
        if not stopped:
            self._count("stretto_invocation_failures_total", self._errors(event.title or "unknown"))

    def _over(self, event: Event, outcome: str) -> None:
        self._count("stretto_invocations_total", outcome)
        self._queued.end(event)  # what is stopped while it waits is never started
        took = self._started.end(event)
        if took is not None:
            self._observe("stretto_invocation_duration_seconds", took, outcome)

    def _on_measured(self, event: Measured) -> None:
        for stage in event.stages:
            self._observe("stretto_stage_duration_seconds", stage.seconds, _snake(stage.kind))
        for tick in event.ticks:
            took = self._families["stretto_step_duration_seconds"].labels(_snake(tick.kind))
            for _ in range(tick.count):
                took.observe(tick.seconds)
        self.charge(event.plugins)
        if event.engine is not None:
            for component in event.engine.used:
                self._count("stretto_engine_hits_total", event.engine.compiler, component)
            self._count("stretto_engine_misses_total", event.engine.compiler, by=event.engine.missed)

    def _on_loaded(self, event: ModelLoaded) -> None:
        self._count("stretto_model_loads_total", self._model(event))
        self._observe("stretto_model_load_duration_seconds", event.seconds)

    def _on_built(self, event: EngineBuilt) -> None:
        self._count("stretto_engine_builds_total", event.compiler, event.component, event.state)
        self._observe("stretto_engine_build_duration_seconds", event.seconds, event.compiler)

    def _model(self, event: ModelLoaded | ModelEvicted | ModelMoved) -> str:
        return self._models(PurePath(event.model).name or "unknown")

    def _count(self, name: str, *labels: str, by: float = 1) -> None:
        family = self._families[name]
        (family.labels(*labels) if labels else family).inc(by)

    def _observe(self, name: str, seconds: float, *labels: str) -> None:
        family = self._families[name]
        (family.labels(*labels) if labels else family).observe(seconds)


class _First(Collector):
    """Has a scrape show all that ended before it."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def describe(self) -> list[Metric]:
        """Name no families, without counting anything."""
        return []

    def collect(self) -> list[Metric]:
        """Count what is to be counted first."""
        self._telemetry.before()
        return []


class _Times:
    """When jobs came to some point, by their events; the longest silent are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, event: Event) -> None:
        with self._lock:
            self._at[event.job] = event.at
            while len(self._at) > self._most:
                self._at.popitem(last=False)

    def end(self, event: Event) -> float | None:
        """Give the seconds from `begin` to this event of the same job; None if it has none."""
        with self._lock:
            began = self._at.pop(event.job, None)
        return None if began is None else max(0.0, event.at - began)


class _Names:
    """The first names of a kind; all others are one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


def _made(family: Family, registry: CollectorRegistry) -> Any:
    if family.buckets:
        return Histogram(family.name, family.help, family.labels, registry=registry, buckets=family.buckets)
    return Counter(family.name, family.help, family.labels, registry=registry)


def _snake(kind: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
