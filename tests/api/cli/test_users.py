"""`stretto users`: made, listed, changed and removed, with the password from stdin."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from stretto.api.accounts import log_in
from stretto.api.cli.main import run
from stretto.api.entities import open_database
from stretto.api.store import database_file
from stretto.api.tokens import owner


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def secret(monkeypatch):
    def say(word):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{word}\nmore\n"))

    say("first")
    return say


def listed(capsys):
    capsys.readouterr()
    assert run(["users", "list", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_user_from_beginning_to_end(data_dir, secret, capsys):
    assert run(["users", "add", "ann", "--first-name", "Ann", "--password-stdin"]) == 0
    assert capsys.readouterr().out == "made ann (user)\n"
    records = open_database(database_file(data_dir))
    token = log_in(records, "ann", "first")
    assert run(["users", "admin", "ann"]) == 0
    assert owner(records, token.text).admin
    (row,) = listed(capsys)
    assert row.pop("last_login") is not None
    assert row == {"username": "ann", "level": "admin", "first_name": "Ann", "last_name": None}
    assert run(["users", "admin", "ann", "--off"]) == 0
    assert not owner(records, token.text).admin
    secret("second")
    assert run(["users", "passwd", "ann", "--password-stdin"]) == 0
    assert owner(records, token.text) is None
    log_in(records, "ann", "second")
    assert run(["users", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["ann", "user", "Ann", "-"]
    assert run(["users", "remove", "ann"]) == 0
    assert listed(capsys) == []
    records.close()


def test_passwd_makes_the_first_administrator(data_dir, secret, capsys):
    assert run(["users", "passwd", "enfugue", "--password-stdin"]) == 0
    assert [row["level"] for row in listed(capsys)] == ["admin"]
    records = open_database(database_file(data_dir))
    log_in(records, "enfugue", "first")
    records.close()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["add", "ann", "--password-stdin"], 2, "User ann already exists."),
        (["add", "a b", "--password-stdin"], 2, "does not fit"),
        (["passwd", "zoe", "--password-stdin"], 1, "No user named zoe"),
        (["admin", "zoe"], 1, "No user named zoe"),
        (["remove", "zoe"], 1, "No user named zoe"),
        (["remove", "enfugue"], 2, "Cannot delete default user."),
        (["admin", "enfugue", "--off"], 2, "Cannot demote default user."),
    ],
)
def test_refusals(secret, capsys, arguments, status, words):
    for name in ("ann", "enfugue"):
        secret("x")
        run(["users", "add", name, "--password-stdin"])
    secret("x")
    assert run(["users", *arguments]) == status
    assert words in capsys.readouterr().err


def test_an_empty_password_is_none(secret, capsys):
    secret("")
    assert run(["users", "add", "ann", "--password-stdin"]) == 2
    assert "Password is required." in capsys.readouterr().err


def test_without_stdin_the_password_is_asked_for_twice(capsys):
    from click.testing import CliRunner
    from stretto.api.cli.users import users_group

    answer = CliRunner().invoke(users_group, ["add", "ann"], input="secret\nsecret\n")
    assert answer.exit_code == 0, answer.output
    assert "secret" not in answer.output
    assert listed(capsys)[0]["username"] == "ann"
