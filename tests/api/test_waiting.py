"""Waiting for an invocation: until it is over, until the limit, and never without a seat."""

from __future__ import annotations

import threading
import time

import pytest
from stretto.api.waiting import WaitingRoom
from stretto.host.contracts.ports import JobStatus
from stretto.host.errors import NotFoundError

from .plans import job


def test_it_ends_with_the_invocation(store):
    kept = store.add(job(), limit=9)
    timer = threading.Timer(0.1, store.fail, (kept.uuid,), {"message": "enough"})
    timer.start()
    row = WaitingRoom(1).row(store.records, kept.uuid, 30.0)
    timer.join()
    assert (row.status, row.error) == (JobStatus.ERROR, "enough")


@pytest.mark.parametrize("closed", [False, True])
def test_without_a_seat_or_at_the_end_nobody_waits(store, closed):
    kept = store.add(job(), limit=9)
    room = WaitingRoom(1 if closed else 0)
    if closed:
        room.close()
    began = time.monotonic()
    assert room.row(store.records, kept.uuid, 30.0).status is JobStatus.QUEUED
    assert time.monotonic() - began < 5


def test_a_seat_is_given_back(store):
    room = WaitingRoom(1)
    with pytest.raises(NotFoundError):
        room.row(store.records, "f" * 32, 30.0)
    kept = store.add(job(), limit=9)
    began = time.monotonic()
    room.row(store.records, kept.uuid, 0.1)
    assert time.monotonic() - began >= 0.1
