"""The reference page of the metrics: from the families that a server registers."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from stretto.api.gauges import GAUGES
from stretto.api.routes.metrics import TOKEN_VARIABLE
from stretto.api.telemetry import FAMILIES, NAMES, OTHER, UNROUTED, Family
from value_words import table

__all__ = ["metrics_parts"]

INTRO = f"""
`GET /metrics` tells [Prometheus](https://prometheus.io) how the server fares, as text or, where `Accept` asks for
`application/openmetrics-text`, as OpenMetrics. Without authentication anybody may read it; with it administrators may,
and whoever sends the token that the server was started with in the environment variable `{TOKEN_VARIABLE}`, which lets
nobody in anywhere else. [Watch a server](../howto/watch-a-server.md) has a configuration for Prometheus.

Counters and histograms begin at zero with the server. Labels are bounded: `route` is a template such as
`/api/invocation/<uuid>` or `{UNROUTED}`, and of models and of errors the first {NAMES} names of each are told apart,
all others are `{OTHER}`. No label holds a prompt, a uuid, a user or a path.
"""


def metrics_parts() -> Iterator[str]:
    """Give the parts of the page."""
    yield INTRO
    yield "## What happened\n\n" + _table((_kind(one), one) for one in FAMILIES)
    yield "## What is\n\n" + _table((_gauge(one), one) for one in GAUGES)
    yield (
        "## The processes\n\nThe same for the server and, as `stretto_worker_process_...`, for its worker.\n\n"
        + table(
            ("name", "kind", "what it says"),
            [(f"`{name}`", kind, said) for name, kind, said in _of_processes()],
        )
    )


def _table(rows: Iterator[tuple[str, Family]]) -> str:
    cells = [
        (f"`{_name(one)}`", kind, ", ".join(f"`{label}`" for label in one.labels), one.help)
        for kind, one in rows
    ]
    return table(("name", "kind", "labels", "what it says"), cells)


def _name(family: Family) -> str:
    return f"{family.name}_info" if family.name == "stretto_build" else family.name


def _kind(family: Family) -> str:
    return "histogram" if family.buckets else "counter"


def _gauge(family: Family) -> str:
    return "info" if family.name == "stretto_build" else "gauge"


def _of_processes() -> Iterator[tuple[str, str, str]]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    for metric in registry.collect():
        total = "_total" if metric.type == "counter" else ""
        yield metric.name + total, metric.type, metric.documentation
