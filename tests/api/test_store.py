"""The job store: one transaction a call, durable, safe from several threads and processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pony.orm import db_session, rollback
from stretto.api.entities import open_database
from stretto.api.history import HISTORY_COLUMNS, find, history
from stretto.api.listing import listing_of
from stretto.api.store import PonyJobStore
from stretto.host.contracts.ports import JobStatus
from stretto.host.errors import NotFoundError, TooManyRequestsError

from .plans import FULL, PLAN, job

pytestmark = pytest.mark.both_databases


def test_a_job_comes_back_as_it_was_added(store):
    added = store.add(job(plan=FULL, user_id=7), limit=1)
    assert added.id == 1
    claimed = store.claim()
    assert claimed.started == pytest.approx(time.time(), abs=60)
    assert claimed == replace(added, status=JobStatus.PROCESSING, attempts=1, started=claimed.started)
    assert store.claim() is None


def test_first_come_first_served_and_a_requeued_job_first(store):
    jobs = [store.add(job(), limit=9) for _ in range(3)]
    first, second = store.claim(), store.claim()
    assert [first.uuid, second.uuid] == [jobs[0].uuid, jobs[1].uuid]
    store.requeue(first.uuid)
    assert store.waiting() == 2
    again = store.claim()
    assert again.uuid == first.uuid
    assert again.attempts == 2


def test_a_full_queue_refuses(store):
    for _ in range(2):
        store.add(job(), limit=2)
    with pytest.raises(TooManyRequestsError, match=r"Too many requests\. 2 invocations may wait"):
        store.add(job(), limit=2)
    store.claim()
    store.add(job(), limit=2)
    with pytest.raises(TooManyRequestsError):
        store.add(job(), limit=0)


def test_finish_keeps_pictures_and_notes(store, records):
    kept = store.add(job(), limit=1)
    store.claim()
    store.finish(kept.uuid, images=("a_0.png", "a_1.png"), plan=PLAN.with_note("slow"))
    row = find(records, kept.uuid, 0)
    assert (row.status, row.images, row.error) == (JobStatus.COMPLETED, ("a_0.png", "a_1.png"), None)
    assert row.finished >= row.started
    assert store.unfinished() == []


def test_fail_keeps_the_reason(store, records):
    kept = store.add(job(), limit=1)
    store.claim()
    store.fail(kept.uuid, message="no room")
    row = find(records, kept.uuid, 0)
    assert (row.status, row.error) == (JobStatus.ERROR, "no room")


def test_withdraw_ends_only_what_waits(store, records):
    waiting, working = store.add(job(), limit=9), store.add(job(), limit=9)
    assert store.withdraw(waiting.uuid, message="stopped") is True
    assert store.withdraw(waiting.uuid, message="stopped") is False
    assert store.claim().uuid == working.uuid
    assert store.withdraw(working.uuid, message="stopped") is False
    assert store.withdraw("nobody", message="stopped") is False
    assert find(records, waiting.uuid, 0).error == "stopped"


def test_a_failed_job_keeps_what_was_noted_in_its_plan(store, records):
    kept = store.add(job(), limit=1)
    store.claim()
    store.fail(kept.uuid, message="no room", plan=PLAN.with_note("the memory was full"))
    page, _ = history(records, listing_of({}, HISTORY_COLUMNS, records.dialect), 0)
    assert b"the memory was full" in page
    assert find(records, kept.uuid, 0).error == "no room"


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.requeue("x"),
        lambda store: store.fail("x", message="m"),
        lambda store: store.finish("x", images=(), plan=PLAN),
    ],
)
def test_a_job_that_is_not_there(store, act):
    with pytest.raises(NotFoundError, match="No invocation matching UUID x"):
        act(store)


def test_what_was_committed_is_seen_by_another_connection_at_once(store, other):
    kept = store.add(job(), limit=1)
    assert other("SELECT status FROM invocation") == [("queued",)]
    store.claim()
    assert other("SELECT status, attempts FROM invocation") == [("processing", 1)]
    store.finish(kept.uuid, images=("x.png",), plan=PLAN)
    assert other("SELECT images FROM invocation") == [('["x.png"]',)]


def test_unfinished_jobs_are_found_after_a_crash(store, database):
    kept = [store.add(job(), limit=9) for _ in range(3)]
    store.claim()
    store.claim()
    after = PonyJobStore(open_database(database))
    assert [left.uuid for left in after.unfinished()] == [kept[0].uuid, kept[1].uuid]
    assert after.waiting() == 1


def test_release_does_not_count_the_try(store):
    kept = store.add(job(), limit=1)
    store.claim()
    assert store.release() == 1
    assert store.release() == 0
    assert store.claim().attempts == 1
    assert store.unfinished()[0].uuid == kept.uuid


def test_an_unreadable_plan_does_not_block_the_queue(store, records, other):
    broken, foreign, good = (store.add(job(), limit=9) for _ in range(3))
    other("UPDATE invocation SET plan = '{' WHERE id = 1")
    other("UPDATE invocation SET plan = '{\"version\": 99}' WHERE id = 2")
    assert store.claim().uuid == good.uuid
    assert find(records, broken.uuid, 0).status is JobStatus.ERROR
    assert "version 99" in find(records, foreign.uuid, 0).error


def test_many_threads_claim_each_job_once(store):
    def add(_):
        return store.add(job(), limit=1000).uuid

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add, range(60)))
        claimed = list(pool.map(lambda _: store.claim().uuid, range(60)))
    assert sorted(claimed) == sorted(added)
    assert store.claim() is None


def test_the_limit_holds_under_contention(store):
    def add(_):
        try:
            store.add(job(), limit=5)
        except TooManyRequestsError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(40))) == 5


def test_readers_are_not_blocked_by_a_writer(store, records):
    kept = store.add(job(), limit=1)
    held, go = threading.Event(), threading.Event()

    def hold():
        with db_session(immediate=True):
            records.database.execute("UPDATE invocation SET attempts = 5")
            held.set()
            go.wait(10)
            rollback()

    writer = threading.Thread(target=hold)
    writer.start()
    held.wait(10)
    began = time.perf_counter()
    assert find(records, kept.uuid, 0).status is JobStatus.QUEUED
    assert time.perf_counter() - began < 5  # the writer holds on for twice as long
    go.set()
    writer.join()


def test_many_change_one_row_and_no_change_is_lost_or_refused(store, records):
    kept = store.add(job(), limit=1)

    def change(_):
        with db_session(immediate=True):
            row = records.invocation.get(uuid=kept.uuid)
            row.attempts = row.attempts + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(100)))
    with db_session:
        assert records.invocation.get(uuid=kept.uuid).attempts == 100


def test_any_character_can_be_kept(store, records):
    kept = store.add(job(plan=replace(PLAN, prompt="\0 \U0001f408 \x1f")), limit=1)
    assert store.claim().plan.prompt == "\0 \U0001f408 \x1f"
    store.fail(kept.uuid, message="a\0b")
    assert find(records, kept.uuid, 0).error in ("a\0b", "a\ufffdb")
    with pytest.raises(NotFoundError):
        find(records, "\0", 0)
