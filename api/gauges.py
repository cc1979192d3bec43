"""What is true of the server when it is asked: how much waits, what is open, what its processes take."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from .downloads import Downloads
from .store import PonyJobStore
from .streams import Streams
from .telemetry import Family, Telemetry

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["GAUGES", "Watched", "watch"]

GAUGES = (
    Family("stretto_build", "Which server this is.", ("version", "python", "database")),
    Family("stretto_queue_depth", "Invocations that wait."),
    Family("stretto_invocations_active", "Invocations that a worker has."),
    Family("stretto_worker_up", "1 while there is a worker process."),
    Family("stretto_event_streams_open", "Streams of events that are open."),
    Family("stretto_plugin_switched_off", "1 for a plugin that failed too often in a row.", ("plugin",)),
    Family("stretto_downloads", "Downloads since the start of the server.", ("state",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is asked, at each scrape."""

    host: Host
    store: PonyJobStore
    streams: Streams
    downloads: Downloads


def watch(telemetry: Telemetry, watched: Watched) -> None:
    """Add what is asked at each scrape to a server's metrics, and what its two processes take."""
    telemetry.before = lambda: telemetry.charge(watched.host.board.ledger.take())
    telemetry.registry.register(_Now(watched))
    ProcessCollector(registry=telemetry.registry)
    ProcessCollector(
        namespace="stretto_worker", pid=lambda: watched.host.worker_pid or -1, registry=telemetry.registry
    )
    GCCollector(registry=telemetry.registry)


class _Now(Collector):
    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def describe(self) -> list[Metric]:
        """Name the families without asking anybody."""
        return [*_families().values()]

    def collect(self) -> Iterable[Metric]:
        """Ask."""
        watched = self._watched
        found = _families()
        about = (
            watched.host.version,
            platform.python_version(),
            watched.store.records.database.provider.dialect.lower(),
        )
        found["stretto_build"].add_metric(about, {})
        found["stretto_queue_depth"].add_metric((), watched.store.waiting())
        found["stretto_invocations_active"].add_metric((), float(watched.host.status() == "busy"))
        found["stretto_worker_up"].add_metric((), float(watched.host.worker_pid is not None))
        found["stretto_event_streams_open"].add_metric((), watched.streams.count)
        for name in watched.host.guarding.switched_off:
            found["stretto_plugin_switched_off"].add_metric((name,), 1.0)
        downloads = watched.downloads.counts()
        over = downloads.total - downloads.queued - downloads.active
        for state, count in (("queued", downloads.queued), ("running", downloads.active), ("over", over)):
            found["stretto_downloads"].add_metric((state,), count)
        return found.values()


def _families() -> dict[str, Any]:
    return {
        one.name: (InfoMetricFamily if one.name == "stretto_build" else GaugeMetricFamily)(
            one.name, one.help, labels=one.labels
        )
        for one in GAUGES
    }
