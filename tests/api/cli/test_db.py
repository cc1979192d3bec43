"""`stretto db`: how the database stands, its next schema, and a copy of it."""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from stretto.api import upkeep
from stretto.api.accounts import UserForm, add_user, people
from stretto.api.cli.main import run
from stretto.api.entities import open_database
from stretto.api.migrations import LATEST, version_of
from stretto.api.postgres import held_alone, server_of
from stretto.api.serve import LOCK_NAME
from stretto.api.store import PonyJobStore

from ..cluster import binaries
from ..plans import job

ANN = UserForm(username="ann", new_password="x", repeat_password="x")
OLD = Path(__file__).parents[1] / "databases" / "v2.sql"


@pytest.fixture(autouse=True)
def data_dir(folders, monkeypatch):
    monkeypatch.setenv("STRETTO_DATA_DIR", str(folders.root))
    return folders.root


@pytest.fixture
def filled(records, database, monkeypatch, request):
    """A database with one invocation and Ann, which the commands find."""
    if not isinstance(database, Path):
        schema = database.parameters["options"].rpartition("=")[2]
        url = request.getfixturevalue("postgres").url(options=f"-c search_path={schema}")
        monkeypatch.setenv("STRETTO_DATABASE", url)
    PonyJobStore(records).add(job(), limit=9)
    add_user(records, ANN)
    return database


@pytest.fixture
def old_file(data_dir):
    file = data_dir / "stretto.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OLD.read_text())
    return file


def said(capsys, *words):
    capsys.readouterr()
    assert run(["db", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.both_databases
def test_status_tells_how_it_stands(filled, capsys):
    status = said(capsys, "status")
    assert status["provider"] == ("sqlite" if isinstance(filled, Path) else "postgres")
    assert (status["place"], status["version"], status["latest"]) == (str(filled), LATEST, LATEST)
    assert status["pending"] == []
    assert status["size_bytes"] > 10_000
    assert {name: status["rows"][name] for name in ("download", "invocation", "setting", "user")} == {
        "download": 0, "invocation": 1, "setting": 0, "user": 2,
    }  # fmt: skip
    assert not {name for name in status["rows"] if name.startswith(("sqlite_", "schema_"))}
    assert run(["db", "status"]) == 0
    assert ["schema", "version", str(LATEST)] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]


def test_without_a_database_none_is_made(data_dir, capsys):
    status = said(capsys, "status")
    assert (status["version"], status["pending"], status["rows"]) == (None, list(range(1, LATEST + 1)), {})
    for words in (["upgrade", "--yes"], ["backup"]):
        assert run(["db", *words]) == 1
        assert "There is no database" in capsys.readouterr().err
    assert not (data_dir / "stretto.db").exists()


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_looking_changes_nothing_and_an_upgrade_asks_first(old_file, answer, monkeypatch, capsys):
    before = old_file.read_bytes()
    status = said(capsys, "status")
    assert (status["version"], status["pending"], status["rows"]["invocation"]) == (
        2,
        list(range(3, LATEST + 1)),
        4,
    )
    assert old_file.read_bytes() == before
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert run(["db", "upgrade"]) == 130
    assert f"from schema version 2 to {LATEST} (it is copied first)?" in capsys.readouterr().err
    assert version_of(old_file) == 2


def test_an_upgrade_copies_and_says_what_it_did(old_file, capsys):
    copy = f"{old_file}.v2"
    assert said(capsys, "upgrade", "--yes") == {"before": 2, "after": LATEST, "copy": copy}
    assert (version_of(old_file), version_of(Path(copy))) == (LATEST, 2)
    assert said(capsys, "upgrade") == {"before": LATEST, "after": LATEST, "copy": None}


def test_an_empty_server_gets_its_tables(postgres, monkeypatch, capsys):
    monkeypatch.setenv("STRETTO_DATABASE", postgres.new_url())
    assert said(capsys, "status")["version"] == 0
    assert said(capsys, "upgrade", "--yes") == {"before": 0, "after": LATEST, "copy": None}


@pytest.mark.both_databases
def test_nothing_changes_under_a_server(filled, data_dir, capsys):
    with FileLock(data_dir / LOCK_NAME):
        assert run(["db", "upgrade", "--yes"]) == 1
    assert "a server runs on" in capsys.readouterr().err
    if not isinstance(filled, Path):
        with held_alone(filled):
            assert run(["db", "upgrade", "--yes"]) == 1
            assert "in use by another server" in capsys.readouterr().err
            assert run(["settings", "--set", "max_queued_invocations=9"]) == 1


def test_a_copy_of_a_file_is_whole_while_others_write(filled, records, data_dir, tmp_path, capsys):
    target = tmp_path / "new" / "copy.db"
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE invocation SET attempts = 7")
        told = said(capsys, "backup", str(target))
    assert told == {"file": str(target), "bytes": target.stat().st_size}
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    again = open_database(target)
    assert [person.username for person in people(again)] == ["ann"]
    assert PonyJobStore(again).claim().attempts == 1
    again.close()


def test_no_copy_is_overwritten(filled, tmp_path, data_dir, capsys):
    target = tmp_path / "copy.db"
    target.write_text("mine")
    assert run(["db", "backup", str(target)]) == 1
    assert "no copy is overwritten" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert Path(said(capsys, "backup")["file"]).parent == data_dir / "backups"


def test_a_drive_without_links_takes_a_copy(filled, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    target = tmp_path / "copies" / "copy.db"
    assert said(capsys, "backup", str(target))["bytes"] == target.stat().st_size
    assert version_of(target) == LATEST
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]


def test_a_torn_file_leaves_no_copy(data_dir, tmp_path, capsys):
    (data_dir / "stretto.db").write_bytes(b"hello, world! " * 100)
    for words in (["status"], ["upgrade", "--yes"], ["backup", str(tmp_path / "copies" / "a.db")]):
        assert run(["db", *words]) == 1
        assert "not a usable database" in capsys.readouterr().err
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_dump_can_be_restored_and_its_password_is_nobodys(postgres, tmp_path, monkeypatch, capsys):
    postgres.run("CREATE DATABASE kept OWNER locked")
    url = postgres.url("kept", user="locked:s3cret")
    monkeypatch.setenv("STRETTO_DATABASE", url)
    records = open_database(server_of(url))
    add_user(records, ANN)
    records.close()
    seen = tmp_path / "arguments"
    tool = tmp_path / "debian" / "99" / "bin" / "pg_dump"
    tool.parent.mkdir(parents=True)
    tool.write_text(f'#!/bin/sh\necho "$@" > {seen}\nexec {binaries()}/pg_dump "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setattr(upkeep, "DEBIANS", tmp_path / "debian")
    target = tmp_path / "copy.dump"
    assert run(["db", "backup", str(target)]) == 0
    told = capsys.readouterr().out + seen.read_text()
    assert f"copied postgres://locked@/kept?host={postgres.folder} to {target}" in told
    assert "s3cret" not in told
    assert target.stat().st_mode & 0o777 == 0o600
    postgres.run("CREATE DATABASE again")
    subprocess.run(
        [f"{binaries()}/pg_restore", "--exit-on-error", f"--dbname={postgres.url('again')}", target],
        check=True,
    )
    again = open_database(server_of(postgres.url("again")))
    assert [person.username for person in people(again)] == ["ann"]
    again.close()


def test_without_pg_dump_it_is_named(postgres, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STRETTO_DATABASE", postgres.new_url())
    monkeypatch.setattr(upkeep, "DEBIANS", tmp_path)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert run(["db", "backup", str(tmp_path / "copy.dump")]) == 1
    assert "apt install postgresql-client" in capsys.readouterr().err
    assert list(tmp_path.glob("*copy.dump*")) == []


def test_every_command_finds_the_server(postgres, monkeypatch, capsys, data_dir):
    url = postgres.new_url()
    for words in (
        ["doctor"],
        ["models", "list"],
        ["db", "status"],
    ):
        run([*words, "--database", url])
        assert version_of(server_of(url)) == 0
    for words in (
        ["users", "list"],
        ["settings", "--set", "max_queued_invocations=9"],
        ["models", "show", "x"],
        ["models", "list"],
    ):
        run([*words, "--database", url])
    told = capsys.readouterr()
    assert f"postgres://stretto@/postgres?host={postgres.folder}" in told.out.replace("\n", "").replace(
        "  ", ""
    )
    assert "No model named x" in told.err
    assert said(capsys, "status", "--database", url)["rows"]["setting"] == 1
    assert not (data_dir / "stretto.db").exists()


def test_the_doctor_tells_a_server_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STRETTO_DATABASE", f"postgres://ann:s3cret@/d?host={tmp_path}")
    assert run(["doctor", "--json"]) == 1
    told = capsys.readouterr().out
    (row,) = [row for row in json.loads(told) if row["name"] == "database"]
    assert (row["status"], row["needed"]) == ("broken", True)
    assert "s3cret" not in told


def test_the_doctor_upgrades_nothing(old_file, capsys):
    assert run(["doctor", "--json"]) == 0
    assert version_of(old_file) == 2
    assert [path.name for path in old_file.parent.glob("*.v*")] == []
