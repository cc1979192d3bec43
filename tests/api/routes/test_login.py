"""Logging in, and what a caller may do at each level."""

from __future__ import annotations

import itertools
import re

import pytest
from stretto.api.access import ANYBODY
from stretto.api.routes import ROUTES

from ..client import FORM, QUICK, Client

HEX = re.compile(r"[0-9a-f]{32}")


def log_in(client, body, path="/api/login"):
    return client.call("POST", path, body, FORM)


BODIES = [{"username": "ann", "password": "ann"}, b"username=ann&password=ann", b"password=ann&username=ANN"]


def test_a_token_by_json_and_by_form(signed):
    for path, body in itertools.product(["/api/login", "/login", "/api/login/"], BODIES):
        answer = log_in(signed.still.client, body, path)
        assert answer.json["meta"] == {"params": {}}
        assert answer.data["type"] == "AuthenticationToken"
        token = answer.data["attributes"]["access_token"]
        assert HEX.fullmatch(token)
        assert answer.headers["Set-Cookie"] == (
            f"enfugue_token={token}; Path=/; Max-Age=2628000; HttpOnly; SameSite=Strict"
        )
        cookie = {"Cookie": f"enfugue_token={token}"}
        assert (
            signed.still.client.call("GET", "/self", headers=cookie).data["attributes"]["username"] == "ann"
        )


def test_missing_credentials_are_401(still):
    for body in (b"not json", b"", b"[]", b"{}", b'{"username": "ann"}', b"username=ann", b"\xff"):
        answer = log_in(still.client, body)
        assert answer.status == 401
        assert answer.json["errors"] == [
            {"status": "401", "title": "AuthenticationError", "detail": "Missing username or password."}
        ]


def test_wrong_credentials_are_401(signed):
    for password in ("wrong", "ann ", "x" * 5000):
        answer = log_in(signed.still.client, {"username": "ann", "password": password})
        assert (answer.status, answer.details) == (401, ["Incorrect username or password."])
        assert "Set-Cookie" not in answer.headers


@pytest.mark.both_databases
def test_too_many_failures_are_429_with_a_time(signed):
    answers = [log_in(signed.still.client, {"username": "x", "password": "y"}) for _ in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
    right = log_in(signed.still.client, {"username": "ann", "password": "ann"})
    assert right.json["errors"][0]["title"] == "TooManyRequestsError"
    assert signed.ann.get("/self").status == 200  # tokens that are out still hold


def test_a_login_of_megabytes_is_not_read(signed):
    assert log_in(signed.still.client, b"x" * 20000).status == 413


NO_TOKENS = [FORM, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}, {"Cookie": "enfugue_token=0"}]


def test_every_route_but_the_public_ones_needs_a_token(signed):
    client = Client(signed.still.client.port)
    guarded = [route for route in ROUTES if route.needs is not ANYBODY]
    for route, headers in itertools.product(guarded, NO_TOKENS):
        path = re.sub("<[^>]+>", "x", route.path)
        answer = client.call(route.method, path, b"{broken" if route.method != "GET" else None, headers)
        assert answer.status == 401, route
        assert answer.details == ["Invalid or no credentials supplied."]
        assert answer.headers["Www-Authenticate"] == "Bearer"
        assert "Set-Cookie" not in answer.headers
    client.close()


def test_what_is_public():
    public = {(route.method, route.path) for route in ROUTES if route.needs is ANYBODY}
    assert public == {
        ("POST", "/api/login"),
        ("POST", "/login"),
        ("GET", "/api/invocation/images/<name:path>"),
        ("GET", "/api/invocation/intermediates/<name:path>"),
        ("GET", "/api/invocation/thumbnails/<name:path>"),
        ("GET", "/api/invocation/nsfw"),
        # what says nothing of anybody: whether the server is up, and how its API is called
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/api/docs"),
        ("GET", "/api/openapi.json"),
        ("GET", "/api/problems"),
        ("GET", "/api/problems/<slug>"),
    }


def test_what_only_administrators_may(signed):
    refused = {}
    for route in ROUTES:
        if route.needs.level == "admin":
            path = re.sub("<[^>]+>", "x", route.path)
            answer = signed.ann.call(route.method, path, None if route.method == "GET" else b"{broken")
            assert answer.status == 403, route
            refused[route.method, route.path] = answer.json["errors"]
    assert refused["GET", "/api/users"] == [
        {"status": "403", "title": "PermissionError", "detail": "User ann is not authorized to read on User."}
    ]
    assert refused["POST", "/api/settings"][0]["detail"] == "User ann is not authorized to update on System."
    assert refused["DELETE", "/api/users/<username>"][0]["detail"].endswith("to delete on User.")


def test_both_names_of_the_header(signed):
    sent = {"Authentication": f"Bearer {signed.ann.token}"}
    assert signed.still.client.call("GET", "/api", headers=sent).status == 200


@pytest.mark.both_databases
def test_own_jobs_only_but_for_administrators(signed):
    uuid = signed.ann.post("/api/invoke", QUICK).data["uuid"]
    for path in (f"/api/invocation/{uuid}", f"/api/invocation-history/{uuid}"):
        assert [client.get(path).status for client in (signed.ann, signed.bob, signed.admin)] == [
            200,
            404,
            200,
        ]
    for path in ("/api/invocation", "/api/invocation-history"):
        assert [len(client.get(path).data) for client in (signed.ann, signed.bob, signed.admin)] == [1, 0, 0]
    assert signed.bob.get(f"/api/invocation-history/{uuid}").details == [
        f"No DiffusionInvocation found with id={uuid}, user_id=3"
    ]
    assert signed.bob.post("/api/invocation/stop", {"uuid": uuid}).status == 404
    assert signed.bob.delete(f"/api/invocation/{uuid}").details == [f"No invocation with ID {uuid}"]
    assert signed.bob.delete(f"/api/invocation-history/{uuid}").status == 404
    assert signed.ann.get(f"/api/invocation/{uuid}").data["status"] == "queued"
    assert signed.admin.delete(f"/api/invocation/{uuid}").status == 200
    assert signed.ann.get(f"/api/invocation/{uuid}").status == 404


@pytest.mark.both_databases
def test_the_active_job_is_stopped_by_its_owner_and_by_administrators(signed):
    uuid = signed.ann.post("/api/invoke", QUICK).data["uuid"]
    assert signed.bob.post("/api/invocation/stop").data is None
    assert signed.still.store.claim().uuid == uuid
    answer = signed.bob.post("/api/invocation/stop")
    assert answer.status == 403
    assert answer.details[0].startswith("User bob is not authorized to stop on DiffusionInvocation.")
    assert signed.ann.post("/api/invocation/stop").status == 200
    assert signed.admin.post("/api/invocation/stop").status == 200


@pytest.mark.both_databases
def test_history_belongs_to_who_invoked(signed):
    uuid = signed.bob.post("/api/invoke", QUICK).data["uuid"]
    (row,) = signed.bob.get(f"/api/invocation-history/{uuid}").data
    assert row["attributes"]["user_id"] == 3


def test_without_authentication_a_stranger_is_noauth_and_gets_a_cookie(still):
    answer = still.client.get("/self")
    assert answer.data["attributes"] == {
        "first_name": None, "id": 0, "last_login": None, "last_name": None, "username": "noauth",
    }  # fmt: skip
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "enfugue_token"
    assert HEX.match(rest)
    cookie = {"Cookie": f"{name}={rest.split(';')[0]}"}
    again = still.client.call("GET", "/self", headers=cookie)
    assert again.data["attributes"]["id"] == 0
    assert "Set-Cookie" not in again.headers


def test_without_authentication_a_token_still_says_who_one_is(signed):
    signed.admin.post("/api/settings", {"auth": False})
    answer = log_in(signed.still.client, {"username": "ann", "password": "ann"})
    ann = Client(signed.still.client.port, answer.data["attributes"]["access_token"])
    uuid = ann.post("/api/invoke", QUICK).data["uuid"]
    ann.close()
    (row,) = signed.still.client.get(f"/api/invocation-history/{uuid}").data
    assert row["attributes"]["user_id"] == 2
