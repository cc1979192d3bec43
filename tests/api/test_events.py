"""Events of invocations: numbered without gaps, kept, and streamed to many without keeping others waiting."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import replace

import pytest
from stretto.api.event_log import EventLog
from stretto.host.contracts.events import Failed, Finished, Planned, Queued, Started, StepProgress

from .client import QUICK
from .plans import job


def path_of(uuid):
    return f"/api/invocation/{uuid}/events"


def opened(still, uuid, headers=None, query=""):
    connection = http.client.HTTPConnection("127.0.0.1", still.client.port, timeout=20)
    connection.request("GET", path_of(uuid) + query, headers=headers or {})
    return connection, connection.getresponse()


def read(response, count=None):
    """Read events, all until the end or so many, as (number, name, data)."""
    found, entry = [], {}
    while count is None or len(found) < count:
        line = response.readline().decode()
        if not line:
            break
        key, _, value = line.rstrip("\n").partition(": ")
        if key:
            entry[key] = value
        elif "id" in entry:
            found.append((int(entry["id"]), entry["event"], json.loads(entry["data"])))
            entry = {}
    return found


def queued(still):
    return still.client.post("/api/invoke", QUICK).data["uuid"]


def work(still, uuid, steps=3):
    publish, at = still.host.publish, time.time()
    publish(Started(job=uuid, number=2, at=at))
    publish(Planned(job=uuid, number=3, at=at, total=10))
    for step in range(1, steps + 1):
        publish(
            StepProgress(
                job=uuid, number=3 + step, at=at + step, step=step, total=10, rate=2.0, task="Denoising",
                intermediates=("a.png",),
            )
        )  # fmt: skip


@pytest.mark.both_databases
def test_a_watcher_gets_everything_in_order_as_it_happens(still):
    uuid = queued(still)
    connection, response = opened(still, uuid)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    ((first, name, _),) = read(response, 1)
    assert (first, name) == (1, "queued")
    work(still, uuid)
    still.host.publish(Finished(job=uuid, number=7, at=time.time() + 5, images=("x.png",)))
    rest = read(response)
    connection.close()
    assert [number for number, _, _ in rest] == list(range(2, 2 + len(rest)))
    assert [name for _, name, _ in rest][0 :: len(rest) - 1] == ["started", "completed"]
    data = next(data for _, name, data in rest if data["step"] == 3)
    assert (data["total"], data["rate"], data["remaining"], data["task"]) == (10, 2.0, 3.5, "Denoising")
    assert "previews" not in data
    assert rest[-1][2]["images"] == ["images/x.png"]


@pytest.mark.both_databases
def test_polling_shows_the_same_numbers(still):
    uuid = queued(still)
    still.store.claim()
    work(still, uuid)
    connection, response = opened(still, uuid, query="?previews=true")
    *_, (_, _, data) = read(response, 3)
    connection.close()
    seen = still.client.get(f"/api/invocation/{uuid}").data
    assert {name: seen[name] for name in ("step", "total", "rate", "progress")} == {
        name: data[name] for name in ("step", "total", "rate", "progress")
    }
    assert seen["metadata"] == {"task": data["task"], "remaining": data["remaining"]}
    assert seen["images"] == data["previews"] == ["intermediates/a.png"]


@pytest.mark.both_databases
def test_a_reconnect_has_no_gap_and_no_double(still):
    uuid = queued(still)
    connection, response = opened(still, uuid)
    seen = read(response, 1)
    connection.close()
    work(still, uuid)
    still.host.publish(Failed(job=uuid, number=9, at=time.time(), message="enough"))
    connection, response = opened(still, uuid, {"Last-Event-ID": str(seen[-1][0])})
    seen += read(response)
    connection.close()
    assert [number for number, _, _ in seen] == list(range(1, len(seen) + 1))
    assert (seen[-1][1], seen[-1][2]["message"]) == ("error", "enough")
    again = opened(still, uuid, {"Last-Event-ID": str(seen[-1][0])})
    assert read(again[1]) == []
    again[0].close()


@pytest.mark.both_databases
def test_what_was_over_before_it_was_written_ends_all_the_same(still):
    kept = still.store.add(job(), limit=9)
    still.store.fail(kept.uuid, message="the server died")
    for _ in range(2):
        connection, response = opened(still, kept.uuid)
        ((number, name, data),) = read(response)
        connection.close()
        assert (number, name, data["message"]) == (1, "error", "the server died")


@pytest.mark.both_databases
def test_the_next_server_goes_on_counting(store):
    kept = store.add(job(), limit=9)
    for events in (
        [Queued(job=kept.uuid, at=1.0), Started(job=kept.uuid, at=2.0)],
        [Started(job=kept.uuid, at=3.0, attempt=2), Finished(job=kept.uuid, at=4.0)],
        [Failed(job=kept.uuid, at=5.0)],
    ):
        log = EventLog(store.records)
        log.start()
        for event in events:
            log.hear(event)
        log.close()
    told = log.after(kept.uuid, 0)
    assert [(one.number, one.name) for one in told] == [
        (1, "queued"), (2, "started"), (3, "started"), (4, "completed"),
    ]  # fmt: skip


def test_watchers_leave_room_and_one_too_many_is_told(still):
    uuid = queued(still)
    still.host.update_settings(replace(still.host.settings, max_event_streams=20))
    streams = [opened(still, uuid) for _ in range(20)]  # of a server of 4 threads
    for _, response in streams:
        assert len(read(response, 1)) == 1
    answer = still.client.get(path_of(uuid))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "20 streams of events are open (setting max_event_streams)" in answer.details[0]
    assert still.client.get("/api").status == 200
    assert still.client.delete(f"/api/invocation/{uuid}").status == 200
    for connection, response in streams:
        assert [name for _, name, _ in read(response)] == ["error"]
        connection.close()
    other = queued(still)
    connection, response = opened(still, other)
    assert response.status == 200
    connection.close()


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 30])
def test_what_is_no_number(still, given):
    answer = still.client.call("GET", path_of(queued(still)), headers={"Last-Event-ID": given})
    assert answer.status == 400


def test_one_sees_ones_own(signed):
    uuid = signed.ann.post("/api/invoke", QUICK).data["uuid"]
    assert signed.bob.get(path_of(uuid)).status == 404
    assert signed.still.client.get(path_of(uuid)).status == 401


def test_previews_are_true_or_false(still):
    path = path_of(queued(still))
    for value in ("maybe", "2", "yes"):
        answer = still.client.get(f"{path}?previews={value}")
        assert (answer.status, len(answer.details)) == (400, 1)
        assert answer.details[0].startswith("previews: ")
        assert answer.details[0].endswith(" is not true or false")
