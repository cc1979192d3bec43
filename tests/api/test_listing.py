"""The query grammar of collections, on the history of 30 invocations."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

import pytest
from pony.orm import db_session

from .plans import FULL, PLAN, job

START = datetime(2023, 7, 27, 16, 34, 12).timestamp()  # noqa: DTZ001 - local, as the contract's times are


QUERIES = [
    ("", list(range(30))),
    ("limit=3", [0, 1, 2]),
    ("limit=0&offset=28", [28, 29]),
    ("limit=-1&offset=-5", list(range(30))),
    ("offset=28", [28, 29]),
    ("limit=2&offset=99", []),
    ("limit=2&limit=3", [0, 1, 2]),
    ("sort=started:desc&limit=2", [29, 28]),
    ("sort=started&limit=2", [0, 1]),
    ("sort=started:ASC&limit=2", [0, 1]),
    ("sort=outputs:desc&sort=started:desc&limit=3", [26, 20, 14]),
    ("sort=id:desc&limit=1", [29]),
    ("filter=outputs:2", [2, 8, 14, 20, 26]),
    ("filter=outputs:2%7C1&limit=4", [2, 4, 8, 10]),
    ("filter=outputs:2&filter=id:" + f"{8:032x}", [8]),
    ("filter=!outputs:0&limit=3", [2, 4, 8]),
    ("filter=error:null&limit=3", [0, 2, 4]),
    ("filter=!error:null&limit=3", [1, 3, 5]),
    ("filter=started:2023-07-27T18:34:12", [2]),
    ("filter=duration:3.5", [2]),
    ("filter=user_id:3", []),
    (f"filter=error%7Cid:{4:032x}", [4]),
    ("filter=outputs%2Buser_id:0&limit=2", [0, 1]),
    ("filter=outputs+user_id:0&limit=2", [0, 1]),
    ("filter=id:ABC", []),
    ("ilike=plan:puppy%20NUMBER%2029", [29]),
    ("ilike=plan:number%2029&ilike=plan:number%2028", [28, 29]),
    ("ilike=error:" + quote("rÉl FAILED") + "&limit=2", [1, 3]),
    ("ilike=error:100%25_1&limit=2", [1, 11]),
    ("ilike=error:%25", [n for n in range(30) if n % 2]),
    ("ilike=error&limit=1", [0]),
    ("ilike=started:2023-07-27T18", [2]),
    ("ilike=plan:puppy&filter=outputs:2&sort=started:desc&limit=2", [26, 20]),
    ("show=plan&unknown=1&limit=1", [0]),
]


@pytest.fixture
def history(still):
    """30 invocations: number i started i hours after START; even ones completed with i % 3 pictures."""
    store = still.store
    for number in range(30):
        plan = replace(PLAN, prompt=f"Puppy number {number}", seed=number)
        kept = store.add(job(uuid=f"{number:032x}", plan=plan, created=START + 3600 * number), limit=99)
        if number % 2 == 0:
            store.finish(kept.uuid, images=("x.png",) * (number % 3), plan=plan)
        else:
            store.fail(kept.uuid, message=f"Rél failed at 100%_{number}")
    with db_session:
        for row in store.records.invocation.select():
            row.finished = row.started + 0.5 + row.id
    store.add(job(uuid="f" * 32, user_id=3, created=START), limit=99)  # somebody else's

    def ask(query):
        answer = still.client.get(f"/api/invocation-history?{query}")
        assert answer.status == 200, answer.body
        return [entry["attributes"] for entry in answer.json["data"]], answer.json["meta"]["count"]

    return ask


def numbers(rows):
    return [int(row["id"], 16) for row in rows]


@pytest.mark.both_databases
def test_an_object_has_the_contracts_shape(history, still):
    rows, count = history("limit=1&offset=2")
    assert count == 30
    assert list(rows[0]) == ["duration", "error", "id", "outputs", "plan", "started", "user_id"]
    assert rows[0]["duration"] == pytest.approx(3.5)
    assert (rows[0]["error"], rows[0]["outputs"], rows[0]["user_id"]) == (None, 2, 0)
    assert rows[0]["started"] == "2023-07-27T18:34:12"
    assert rows[0]["plan"] == json.loads(json.dumps(replace(PLAN, prompt="Puppy number 2", seed=2).to_json()))
    assert (
        still.client.get("/api/invocation-history?limit=1").json["data"][0]["type"] == "DiffusionInvocation"
    )


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_queries(history, query, expected):
    rows, count = history(query)
    assert numbers(rows) == expected
    assert count >= len(expected)


@pytest.mark.both_databases
def test_databases_answer_alike(history):
    for query, expected in QUERIES:
        assert numbers(history(query)[0]) == expected, query


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("query", "count"), [("filter=outputs:2&limit=1", 5), ("ilike=error:failed&limit=0", 15)]
)
def test_count_is_before_limit_and_offset(history, query, count):
    assert history(query)[1] == count


@pytest.mark.both_databases
def test_100_rows_unless_asked_otherwise(still):
    for _ in range(101):
        still.store.add(job(), limit=999)
    assert len(still.client.get("/api/invocation-history").data) == 100
    assert len(still.client.get("/api/invocation-history?limit=0").data) == 101
    assert still.client.get("/api/invocation-history").json["meta"]["count"] == 101


@pytest.mark.both_databases
def test_plans_are_spliced_as_they_are(still):
    kept = still.store.add(job(plan=FULL), limit=1)
    (row,) = still.client.get(f"/api/invocation-history/{kept.uuid}").data
    assert row["attributes"]["plan"]["prompt"] == FULL.prompt
    assert (
        still.client.get("/api/invocation-history?ilike=plan:" + quote('"QUOTED" \\')).json["meta"]["count"]
        == 1
    )


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=abc", 'limit: "abc" is not a whole number'),
        ("offset=1.5", 'offset: "1.5" is not a whole number'),
        ("sort=nothing", 'sort: "nothing" is no column for it'),
        ("sort=startd", "did you mean 'started'?"),
        ("sort=started:up", 'sort: "up" is no direction; asc and desc are'),
        ("sort=plan", 'sort: "plan" is no column'),
        ("ilike=password:x", 'ilike: "password" is no column'),
        ("filter=outputs", "has no ':'"),
        ("filter=:x", "names no column"),
        ("filter=outputs:many", '"many" does not fit outputs, which takes whole numbers'),
        ("filter=started:yesterday", "takes ISO-8601 local times"),
        ("filter=duration:nan", "takes numbers"),
        ("filter=plan:x", 'filter: "plan" is no column'),
        ("filter=id%20or%201=1:x", "is no column"),
        ("include=lora", "Unknown or bad relationship DiffusionInvocation(lora)"),
        ("&".join(["filter=id:1"] * 101), "too many"),
    ],
)
def test_bad_queries_are_400(still, query, words):
    answer = still.client.get(f"/api/invocation-history?{query}")
    assert answer.status == 400
    assert words in answer.details[0]


@pytest.mark.both_databases
@pytest.mark.parametrize("limit", [2**70, -(2**70), 10**400])
def test_integers_beyond_the_databases(still, limit):
    assert still.client.get(f"/api/invocation-history?limit={limit}&offset={limit}").status == 200


@pytest.mark.both_databases
def test_injection_is_a_value(history):
    assert history("filter=id:" + quote("' OR 1=1 --"))[0] == []
    assert history("ilike=error:" + quote("$user') OR 1=1 --"))[0] == []
