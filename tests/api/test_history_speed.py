"""Short ways to what history says: that they say the same as the long ones."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest
from stretto.api.envelope import iso_local, json_text
from stretto.api.history import DEFAULT_ORDER, history
from stretto.api.listing import Listing

from .plans import job


def counted(other):
    kept = {int(user): int(number) for user, number in other("SELECT user_id, number FROM invocation_count")}
    rows = other("SELECT user_id, COUNT(*) FROM invocation GROUP BY user_id")
    return {user: number for user, number in kept.items() if number}, {int(u): int(n) for u, n in rows}


@pytest.mark.both_databases
def test_the_database_keeps_count_of_every_users_invocations(store, other):
    for number in range(7):
        store.add(job(user_id=number % 3), limit=10)
    kept, found = counted(other)
    assert kept == found == {0: 3, 1: 2, 2: 2}
    other("DELETE FROM invocation WHERE user_id = 1")
    other("UPDATE invocation SET user_id = 5 WHERE user_id = 2")
    other("UPDATE invocation SET user_id = 0, status = 'error' WHERE id = 3")
    other("DELETE FROM invocation WHERE id = 1")
    kept, found = counted(other)
    assert kept == found == {0: 3, 5: 1}


@pytest.mark.both_databases
@pytest.mark.parametrize("limit", [1, 2, 5, 6, 2**63 - 1])
@pytest.mark.parametrize("offset", [0, 3, 5, 9])
def test_every_page_has_the_count_of_all(store, limit, offset):
    for number in range(7):
        store.add(job(user_id=number // 6), limit=10)
    text, count = history(store.records, Listing(limit=limit, offset=offset), 0)
    assert count == 6
    assert len(json.loads(text)) == max(0, min(limit, 6 - offset))


@pytest.mark.parametrize("value", ['a"b\\\n\u2028é😀', None, 0.1 + 0.2, 1e300, [1, {"a": True}], {}])
def test_json_is_what_json_dumps_writes(value):
    assert json_text(value) == json.dumps(value, ensure_ascii=False, allow_nan=False)


def test_json_refuses_what_is_none():
    with pytest.raises(ValueError, match="Out of range"):
        json_text(float("nan"))


def test_local_times_are_those_of_the_zone():
    choice = random.Random(0)
    for unix_s in [0.0, 1.5, 1e9, *[choice.uniform(0, 4e9) for _ in range(200)]]:
        through_utc = datetime.fromtimestamp(unix_s, tz=UTC).astimezone().replace(tzinfo=None)
        assert iso_local(unix_s) == through_utc.isoformat()


def test_a_page_in_the_usual_order_is_read_by_an_index(store, other):
    plan = other(f"EXPLAIN QUERY PLAN SELECT plan FROM invocation WHERE user_id = 0 {DEFAULT_ORDER} LIMIT 10")  # noqa: S608
    assert "invocation_user_started" in repr(plan)
    assert "TEMP B-TREE" not in repr(plan)
