"""`/metrics`: what is said to whom, in which words, and that labels stay few."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from stretto.api.gauges import GAUGES
from stretto.api.routes import ROUTES
from stretto.api.routes.metrics import TOKEN_VARIABLE
from stretto.api.telemetry import FAMILIES, UNROUTED
from stretto.host.contracts.events import Started

TOKEN = "0123456789abcdef"


def samples(client: Any, **headers: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.call("GET", "/metrics", headers=headers)
    assert answer.status == 200, answer.body
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read_text(answer.body.decode())
        for sample in family.samples
    }


def at(found: Any, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_text_for_prometheus(still: Any) -> None:
    answer = still.client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    names = {family.name for family in read_text(answer.body.decode())}
    for family in (*FAMILIES, *GAUGES):
        assert family.name.removesuffix("_total") in {name.removesuffix("_info") for name in names}
    found = samples(still.client)
    assert at(found, "stretto_queue_depth") == 0
    assert at(found, "stretto_worker_up") == 0
    assert (at(found, "process_resident_memory_bytes") or 0) > 2**20
    (about,) = [dict(labels) for name, labels in found if name == "stretto_build_info"]
    assert about["database"] == "sqlite"
    assert about["version"] == still.host.version


def test_every_metric_is_on_its_page_and_the_other_way_round(still: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^# TYPE (\S+) ", still.client.get("/metrics").body.decode(), re.MULTILINE))
    told = {name for name in told if not name.endswith("_created")}
    assert told == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


def test_a_scrape_shows_the_calls_that_ended_before_it(still: Any) -> None:
    still.host.board.ledger.charge("scraped", "observe", 0.5, failed="observe raised OSError: no")
    for _ in range(2):  # and counts them once
        found = samples(still.client)
        assert at(found, "stretto_plugin_calls_total", plugin="scraped", hook="observe") == 1
        assert at(found, "stretto_plugin_failures_total", plugin="scraped", hook="observe") == 1
        assert at(found, "stretto_plugin_seconds_total", plugin="scraped", hook="observe") == 0.5


def test_openmetrics_where_it_is_asked_for(still: Any) -> None:
    asked = {"Accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
    answer = still.client.call("GET", "/metrics", headers=asked)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")
    assert [
        family for family in read_openmetrics(answer.body.decode()) if family.name == "stretto_queue_depth"
    ]
    refused = still.client.call(
        "GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=x"}
    )
    assert refused.status == 400
    assert "Accept" in refused.details[0]


def test_head_has_no_body(still: Any) -> None:
    answer = still.client.call("HEAD", "/metrics")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_names_are_prometheus_own_kind(still: Any) -> None:
    linted = re.compile(r"stretto_[a-z]+(_[a-z]+)*")
    for family in (*FAMILIES, *GAUGES):
        assert linted.fullmatch(family.name), family.name
        assert family.help.endswith(".")
        if family in FAMILIES:  # base units, and totals
            assert family.name.endswith("_seconds" if family.buckets else "_total"), family.name
        assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)


def test_an_invocation_that_waits_is_counted(still: Any) -> None:
    body = {"prompt": "a very secret prompt", "width": 64, "height": 64}
    uuid = still.client.post("/api/invoke", body).data["uuid"]
    found = samples(still.client)
    assert at(found, "stretto_queue_depth") == 1
    assert at(found, "stretto_invocations_queued_total") == 1
    still.host._record(Started(job=uuid, number=2, at=0.0))  # the queue stands still
    assert at(samples(still.client), "stretto_queue_wait_seconds_count") == 1
    text = still.client.get("/metrics").body.decode()
    assert "secret" not in text
    assert uuid not in text
    assert str(still.folders.root) not in text


def test_routes_are_told_apart_and_paths_are_not(still: Any) -> None:
    for index in range(5):
        still.client.get(f"/api/invocation/{index:032x}")
        still.client.get(f"/nowhere/{index}")
    still.client.get("/api/checkpoints")
    found = samples(still.client)
    shown = "/api/invocation/<uuid>"
    assert at(found, "stretto_http_requests_total", method="GET", route=shown, status="404") == 5
    assert at(found, "stretto_http_requests_total", method=UNROUTED, route=UNROUTED, status="404") == 5
    assert at(found, "stretto_http_request_duration_seconds_count", method="GET", route=shown) == 5
    known = {route.path for route in ROUTES} | {UNROUTED}
    assert {dict(labels)["route"] for name, labels in found if name.startswith("stretto_http")} <= known


def test_metrics_are_for_administrators_and_scrapers(signed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signed.admin.get("/metrics").status == 200
    assert signed.ann.get("/metrics").status == 403
    stranger = signed.still.client
    assert stranger.get("/metrics").status == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert stranger.call("GET", "/metrics", headers=bearer).status == 401
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert stranger.call("GET", "/metrics", headers=bearer).status == 200
    for sent in (f"Bearer {TOKEN}0", "Bearer", f"Basic {TOKEN}", "Bearer \u00e4"):
        assert stranger.call("GET", "/metrics", headers={"Authorization": sent}).status == 401
    assert stranger.call("GET", "/api/settings", headers=bearer).status == 401
