"""The same call again: from many at once, after a restart, with another body, after a refusal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from stretto.api import idempotency
from stretto.api.entities import open_database
from stretto.api.idempotency import Key, Promises, digest_of
from stretto.host.errors import KeyReusedError

from .client import QUICK, Client

pytestmark = pytest.mark.both_databases

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def invoke(client, body=QUICK, headers=KEY):
    return client.call("POST", "/api/invoke", body, headers)


def test_a_hundred_at_once_are_one(still):
    def once(_number):
        client = Client(still.client.port)
        try:
            return invoke(client)
        finally:
            client.close()

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(once, range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len({(answer.body, answer.headers["Location"]) for answer in answers}) == 1
    assert still.store.waiting() == 1


def test_the_order_of_keys_does_not_matter_and_words_do(still):
    first = invoke(still.client).data
    assert invoke(still.client, dict(reversed(QUICK.items()))).data == first
    answer = invoke(still.client, {**QUICK, "seed": 2})
    assert (answer.status, answer.json["errors"][0]["title"]) == (422, "KeyReusedError")
    assert still.store.waiting() == 1
    assert invoke(still.client, headers={"Idempotency-Key": "another"}).data != first


def test_what_was_deleted_is_not_drawn_again(still):
    first = invoke(still.client).data
    assert still.client.delete(f"/api/invocation/{first['uuid']}").status == 200
    assert invoke(still.client).data == first
    assert still.store.waiting() == 0


def test_a_refused_call_does_not_use_its_key_up(still):
    assert invoke(still.client, {**QUICK, "width": 4}).status == 400
    assert invoke(still.client, {**QUICK, "scheduler": "bogus"}).status == 400
    first = invoke(still.client).data
    assert still.client.get(f"/api/invocation/{first['uuid']}").data == first


def test_a_full_queue_does_not_use_it_up_either(still):
    still.client.post("/api/settings", {"max_queued_invocations": 0})
    still.client.post("/api/invoke", QUICK)
    assert invoke(still.client).status == 429
    still.client.post("/api/settings", {"max_queued_invocations": 9})
    assert invoke(still.client).status == 200


def test_a_promise_that_was_not_kept_is_kept_by_the_next_call(still):
    promises = Promises(still.store.records)
    promise = promises.promised(Key(0, KEY["Idempotency-Key"]), digest_of(QUICK))
    assert invoke(still.client).data["uuid"] == promise
    assert still.store.waiting() == 1


PROBLEM = {"Accept": "application/problem+json"}
ONE = [
    (method, path) for method in ("GET", "DELETE") for path in ("/api/invocation", "/api/invocation-history")
]


def test_what_was_deleted_is_gone_for_who_reads_problems(still):
    uuid = invoke(still.client).data["uuid"]
    still.client.delete(f"/api/invocation/{uuid}")
    for method, path in ONE:
        assert still.client.call(method, f"{path}/{uuid}").status == 404
        assert still.client.call(method, f"{path}/{uuid}", headers=PROBLEM).status == 410


def test_what_another_deleted_was_never_there(signed):
    uuid = invoke(signed.ann).data["uuid"]
    signed.ann.delete(f"/api/invocation/{uuid}")
    for client, status in ((signed.bob, 404), (signed.ann, 410)):
        for method, path in ONE:
            assert client.call(method, f"{path}/{uuid}", headers=PROBLEM).status == status


@pytest.mark.parametrize("given", ["", "x" * 256, "two words"])
def test_what_is_no_key(still, given):
    answer = invoke(still.client, headers={"Idempotency-Key": given})
    assert (answer.status, still.store.waiting()) == (400, 0)


def test_keys_are_each_users_own(signed):
    headers = {
        client: {**KEY, "Authorization": f"Bearer {client.token}"} for client in (signed.ann, signed.bob)
    }
    uuids = {invoke(client, headers=sent).data["uuid"] for client, sent in headers.items()}
    assert len(uuids) == 2


def test_a_promise_outlives_the_server_and_a_week_ends_it(records, database, monkeypatch):
    key, promises = Key(1, "k"), Promises(records)
    promise = promises.promised(key, "a")
    assert not promises.kept(promise)
    again = open_database(database)
    assert Promises(again).promised(key, "a") == promise
    with pytest.raises(KeyReusedError):
        Promises(again).promised(key, "b")
    monkeypatch.setattr(idempotency, "KEPT_S", -1.0)
    assert Promises(again).promised(key, "b") != promise
    again.close()
