"""The first administrator, and what outlives a server that asks for tokens."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from ..api.client import COMMAND, Client, Process

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
