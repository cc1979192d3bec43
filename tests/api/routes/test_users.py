from __future__ import annotations

import itertools
import re
from urllib.parse import quote

import pytest

LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
NEW = {"username": "myuser", "new_password": "mypassword", "repeat_password": "mypassword"}


def names(answer):
    return [row["attributes"]["username"] for row in answer.data]


def test_users_are_listed_without_their_secrets(signed):
    answer = signed.admin.get("/api/users")
    assert answer.json["meta"] == {"params": {}, "count": 3}
    assert names(answer) == ["enfugue", "ann", "bob"]
    first = answer.data[0]
    assert first["type"] == "User"
    assert LOCAL_TIME.fullmatch(first["attributes"].pop("last_login"))
    assert list(first["attributes"].items()) == [
        ("first_name", "Default"), ("id", 1), ("last_name", "User"), ("username", "enfugue"),
    ]  # fmt: skip
    assert "argon2" not in answer.body.decode()


@pytest.mark.both_databases
def test_noauth_is_listed_without_authentication_only(signed):
    signed.admin.post("/api/settings", {"auth": False})
    answer = signed.still.client.get("/api/users?sort=id")
    assert names(answer) == ["noauth", "enfugue", "ann", "bob"]
    assert answer.json["meta"]["count"] == 4


GRAMMAR = [
    ("limit=1&offset=1&sort=id", ["ann"]),
    ("sort=username:desc", ["enfugue", "bob", "ann"]),
    ("ilike=username:FUG", ["enfugue"]),
    ("filter=username:ann|bob&sort=id", ["ann", "bob"]),
    ("filter=username:Ann", []),
    ("filter=!id:1&sort=id", ["ann", "bob"]),
    ("filter=first_name:null&sort=id:desc", ["bob", "ann"]),
]


@pytest.mark.both_databases
def test_the_grammar_of_collections(signed):
    for query, expected in GRAMMAR:
        assert names(signed.admin.get(f"/api/users?{query}")) == expected, query


HIDDEN = ["password", "admin", "hash", "tokens", "rowid", "LOWER(username)", "1"]
FORMS = ["filter={}:x", "sort={}", "ilike={}:x", "filter=!{}:x", "filter=username|{}:x"]


def test_hidden_columns_are_no_columns(signed):
    for word, form in itertools.product(HIDDEN, FORMS):
        answer = signed.admin.get(f"/api/users?{form.format(quote(word))}")
        assert answer.status == 400, (word, form)
        assert "did you mean" in answer.details[0] or "known: " in answer.details[0]


def test_tokens_cannot_be_included(signed):
    for word in ("tokens", "permission_groups.users", "permissions.tokens", "bogus"):
        answer = signed.admin.get(f"/api/users/enfugue?include={word}")
        assert answer.status == 400
        assert answer.details[0].startswith("Unknown or bad relationship User")


def test_groups_are_included(signed):
    query = "include=permissions&include=permission_groups.group"
    (row,) = signed.admin.get(f"/api/users/enfugue?{query}").data
    assert row["include"] == {
        "permissions": [],
        "permission_groups": [
            {
                "type": "UserPermissionGroup",
                "attributes": {"group_id": 1, "user_id": 1},
                "include": {
                    "group": [{"type": "PermissionGroup", "attributes": {"id": 1, "label": "admin"}}]
                },
            }
        ],
    }
    (row,) = signed.admin.get("/api/users/ann?include=permission_groups").data
    assert row["include"] == {"permission_groups": []}


@pytest.mark.both_databases
def test_one_user_is_a_list_of_one(signed):
    answer = signed.admin.get("/api/users/ANN")
    assert (names(answer), answer.json["meta"]["count"]) == (["ann"], 1)
    missing = signed.admin.get("/api/users/zoe")
    assert (missing.status, missing.details) == (404, ["No User found with username=zoe"])


@pytest.mark.both_databases
def test_a_user_is_made_changed_and_removed(signed):
    made = signed.admin.post("/api/users", {**NEW, "admin": True})
    attributes = {"first_name": None, "id": 4, "last_login": None, "last_name": None, "username": "myuser"}
    assert made.data == {"type": "User", "attributes": attributes}
    assert made.json["meta"] == {"params": {}, "data": made.data}  # as the contract's example has it
    for method in ("PATCH", "POST"):
        changed = signed.admin.call(method, "/api/users/myuser", {"admin": False, "first_name": method})
        assert changed.data["attributes"] == {**attributes, "first_name": method}
    assert signed.admin.get("/api/users/myuser?include=permission_groups").data[0]["include"] == {
        "permission_groups": []
    }
    removed = signed.admin.delete("/api/users/myuser")
    assert removed.json == {"meta": {"params": {}}, "data": None}
    assert signed.admin.get("/api/users/myuser").status == 404


REFUSED = [
    ("POST", "", {}, 400, "Username is required."),
    ("POST", "", {**NEW, "username": "Ann"}, 400, "User Ann already exists."),
    ("POST", "", {"username": "myuser"}, 400, "Password is required."),
    ("POST", "", {**NEW, "repeat_password": "x"}, 400, "Passwords do not match."),
    ("POST", "", {**NEW, "username": "a b"}, 400, "The username 'a b' does not fit"),
    ("POST", "", {**NEW, "admin": "perhaps"}, 400, 'admin: "perhaps" is not true or false'),
    ("PATCH", "/zoe", {"admin": True}, 404, "No user named zoe"),
    ("PATCH", "/ann", {"new_password": "a", "repeat_password": "b"}, 400, "Passwords do not match."),
    ("PATCH", "/enfugue", {"admin": False}, 400, "Cannot demote default user."),
    ("DELETE", "/zoe", None, 404, "No user named zoe"),
    ("DELETE", "/enfugue", None, 400, "Cannot delete default user."),
]


def test_refusals(signed):
    for method, path, body, status, words in REFUSED:
        answer = signed.admin.call(method, f"/api/users{path}", body)
        assert answer.status == status, (method, path, body)
        assert answer.details[0].startswith(words)
    assert names(signed.admin.get("/api/users?sort=id")) == ["enfugue", "ann", "bob"]


@pytest.mark.both_databases
def test_another_password_ends_the_tokens(signed):
    body = {"new_password": "new", "repeat_password": "new"}
    assert signed.admin.call("PATCH", "/api/users/ann", body).status == 200
    assert signed.ann.get("/self").status == 401
    login = signed.still.client.post("/api/login", {"username": "ann", "password": "new"})
    assert login.status == 200


@pytest.mark.both_databases
def test_a_removed_user_is_nobody_at_once(signed):
    signed.admin.delete("/api/users/bob")
    assert signed.bob.get("/api").status == 401
