"""Nothing of passwords and tokens comes out, by any parameter, and no words go into SQL."""

from __future__ import annotations

import itertools
import threading
from urllib.parse import quote

from stretto.api.accounts import log_in
from stretto.api.tokens import owner

from .client import Client

COLLECTIONS = ("users", "models", "invocation-history")
WORDS = [
    "password", "token", "tokens", "hash", "user.password", "tokens.hash", "parts", "uuid", "rowid", "_rowid_", "*",
    "id; DROP TABLE user", "id) OR 1=1 --", "username' OR '1'='1", '"password"', "(SELECT password FROM user)", "",
    "__class__", "attributes.password", "PASSWORD", "password\x00", "$p0", "?1",
]  # fmt: skip
FORMS = ["filter={}:a", "filter=!{}:a", "filter=id|{}:a", "filter=id+{}:a", "sort={}", "sort={}:desc", "ilike={}:a",
         "include={}", "show={}"]  # fmt: skip


def test_no_parameter_shows_or_searches_a_secret(signed):
    signed.admin.post("/api/models", {"name": "m", "checkpoint": "starter"})
    before = {name: signed.admin.get(f"/api/{name}").data for name in COLLECTIONS}
    for name, word, form in itertools.product(COLLECTIONS, WORDS, FORMS):
        answer = signed.admin.get(f"/api/{name}?{form.format(quote(word))}")
        own = name == "invocation-history" and word == "uuid"
        assert answer.status in ((200, 400) if form == "show={}" or not word or own else (400,)), (
            name,
            word,
            form,
        )
        assert b"argon2" not in answer.body
        assert signed.ann.token.encode() not in answer.body
    assert {name: signed.admin.get(f"/api/{name}").data for name in COLLECTIONS} == before


def test_values_are_values(signed):
    for text in (
        "' OR 1=1 --",
        "%",
        "_",
        "\\",
        "$p0",
        "\x00",
        "a' UNION SELECT password FROM user --",
        "💥" * 100,
    ):
        for form in ("filter=username:{}", "ilike=username:{}x"):
            answer = signed.admin.get(f"/api/users?{form.format(quote(text))}")
            assert answer.status == 200, text
            assert answer.data == [], text
        assert signed.admin.get(f"/api/users/{quote(text, safe='')}").status == 404
        assert signed.still.client.post("/api/login", {"username": text, "password": text}).status in (
            401,
            429,
        )


def test_many_at_once_are_each_themselves(signed):
    """Eight threads, two users, one table: nobody is taken for another, and no call fails."""
    seen, faults = [], []

    def ask(client, username):
        own = Client(client.port, client.token)
        for _ in range(15):
            answer = own.get("/self")
            seen.append(answer.status == 200 and answer.data["attributes"]["username"] == username)
            if answer.status != 200:
                faults.append(answer.body)
        own.close()

    pairs = [(signed.ann, "ann"), (signed.bob, "bob")] * 2
    threads = [threading.Thread(target=ask, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for _ in range(3):
        log_in(signed.still.store.records, "ann", "ann")
    for thread in threads:
        thread.join()
    assert faults == []
    assert all(seen)
    assert len(seen) == 60
    assert owner(signed.still.store.records, signed.bob.token).username == "bob"
