"""The contract's users and logging in, on a server that asks for tokens."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from ..api.client import COMMAND, Client, Process

HEX = re.compile(r"[0-9a-f]{32}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
FIRST = "STRETTO_ADMIN_PASSWORD"


@pytest.fixture
def closed(tmp_path, monkeypatch) -> Iterator[Process]:
    """A server with authentication, whose administrator has the seed's password."""
    made = Process(tmp_path, ("--auth",))
    with monkeypatch.context() as patch:
        patch.setenv(FIRST, "enfugue")
        made.start()
    yield made
    made.stop()


def test_login_and_users(closed):
    client = closed.client
    assert client.get("/api").json == {
        "errors": [
            {"status": "401", "title": "AuthenticationError", "detail": "Invalid or no credentials supplied."}
        ]
    }
    answer = client.post("/api/login", b'{"username": "enfugue", "password": "enfugue"}')
    assert answer.json["meta"] == {"params": {}}
    assert answer.data["type"] == "AuthenticationToken"
    attributes = answer.data["attributes"]
    assert list(attributes) == ["access_token", "created", "expires", "id", "token_type", "user_id"]
    assert HEX.fullmatch(attributes["access_token"])
    assert TIME.fullmatch(attributes["created"])
    assert TIME.fullmatch(attributes["expires"])
    assert (attributes["token_type"], attributes["user_id"]) == ("Bearer", 1)
    client.token = attributes["access_token"]
    assert client.get("/api").data["status"] in {"idle", "ready", "busy"}

    listed = client.get("/api/users")
    assert listed.json["meta"] == {"params": {}, "count": 1}
    (user,) = listed.data
    assert TIME.fullmatch(user["attributes"].pop("last_login"))
    names = {"first_name": "Default", "id": 1, "last_name": "User", "username": "enfugue"}
    assert user == {"type": "User", "attributes": names}

    body = b'{"username": "myuser", "new_password": "mypassword", "repeat_password": "mypassword", "admin": true}'
    attributes = {"first_name": None, "id": 2, "last_login": None, "last_name": None, "username": "myuser"}
    made = {"type": "User", "attributes": attributes}
    assert client.post("/api/users", body).json == {"meta": {"params": {}, "data": made}, "data": made}
    for method in ("POST", "PATCH"):
        changed = client.call(method, "/api/users/myuser", b'{"admin": false}')
        assert changed.json == {"meta": {"params": {}, "data": made}, "data": made}
    assert client.delete("/api/users/myuser").json == {"meta": {"params": {}}, "data": None}


def test_the_first_password_is_told_once_and_tokens_outlive_the_server(tmp_path):
    process = Process(tmp_path, ("--auth",))
    process.start()
    told = process.popen.stdout.readline()
    found = re.fullmatch(r"The first administrator is enfugue, with the password (\S{20}) - .*\n", told)
    assert found, told
    login = {"username": "enfugue", "password": found[1]}
    token = process.client.post("/api/login", login).data["attributes"]["access_token"]
    assert process.stop() == 0
    process.options = ()  # --auth is kept
    process.start()
    again = Client(process.client.port, token)
    assert again.get("/api/users").json["meta"]["count"] == 1
    again.close()
    process.popen.send_signal(15)
    assert found[1] not in process.popen.stdout.read()
    process.client.close()
    assert process.popen.wait(30) == 0
    process.popen.stdout.close()


def test_a_running_server_knows_of_the_command_at_once(closed):
    command = [COMMAND, "users", "passwd", "enfugue", "--password-stdin", "--data-dir", closed.data]
    login = {"username": "enfugue", "password": "enfugue"}
    closed.client.token = closed.client.post("/api/login", login).data["attributes"]["access_token"]
    assert closed.client.get("/api/users").status == 200
    subprocess.run(command, input="other\n", text=True, check=True, capture_output=True)
    assert closed.client.get("/api/users").status == 401
    closed.client.token = ""
    assert closed.client.post("/api/login", login).status == 401
    assert closed.client.post("/api/login", {**login, "password": "other"}).status == 200
