"""The database file: migrations, and that entities and tables agree."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from pony.orm import db_session
from stretto.api import migrations
from stretto.api.accounts import UserForm, add_user, first_administrator, log_in, people
from stretto.api.entities import open_database
from stretto.api.history import find
from stretto.api.migrations import LATEST, STEPS, migrate
from stretto.api.settings_store import SettingsStore
from stretto.api.store import PonyJobStore
from stretto.api.tokens import owner
from stretto.host.errors import ConfigurationError

from .plans import job


def test_steps_are_numbered_without_gaps():
    assert sorted(STEPS) == list(range(1, LATEST + 1))


def test_a_new_file_is_in_wal_mode_at_the_latest_version(tmp_path):
    records = open_database(tmp_path / "deep" / "stretto.db")
    with closing(sqlite3.connect(tmp_path / "deep" / "stretto.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == LATEST
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    with db_session:
        inside = records.database.get_connection()
        assert inside.execute("PRAGMA synchronous").fetchone()[0] == 1
        assert inside.execute("PRAGMA busy_timeout").fetchone()[0] == 30000
    assert migrate(tmp_path / "deep" / "stretto.db") == LATEST


def test_tables_have_exactly_the_entities_columns(records):
    with db_session:
        connection = records.database.get_connection()
        for table in records.database.schema.tables.values():
            laid = {row[1]: row for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
            assert set(laid) == {column.name for column in table.column_list}
            for column in table.column_list:
                assert bool(laid[column.name][3]) == column.is_not_null or column.is_pk


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "stretto.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    with pytest.raises(ConfigurationError, match=f"version {LATEST + 1}; this release reads up to {LATEST}"):
        open_database(file)


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "stretto.db").write_bytes(b"hello, world! " * 100)
    with pytest.raises(ConfigurationError, match="not a usable database"):
        open_database(tmp_path / "stretto.db")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "stretto.db").mkdir()
    with pytest.raises(ConfigurationError, match="unable to open database file"):
        open_database(tmp_path / "stretto.db")


def add_colour(connection):
    connection.execute('ALTER TABLE "invocation" ADD COLUMN "colour" TEXT')


def fall_over(connection):
    add_colour(connection)
    raise sqlite3.OperationalError("disk on fire")


def test_an_old_file_is_copied_and_brought_forward(store, folders, monkeypatch):
    kept = store.add(job(), limit=1)
    file = folders.root / "stretto.db"
    monkeypatch.setitem(migrations.STEPS, LATEST + 1, add_colour)
    monkeypatch.setattr(migrations, "LATEST", LATEST + 1)
    assert migrate(file) == LATEST
    for name, columns in (("stretto.db", 1), (f"stretto.db.v{LATEST}", 0)):
        with closing(sqlite3.connect(folders.root / name)) as connection:
            assert connection.execute("SELECT uuid FROM invocation").fetchone()[0] == kept.uuid
            found = [row[1] for row in connection.execute("PRAGMA table_info(invocation)")]
            assert found.count("colour") == columns


def test_a_failed_step_changes_nothing(store, folders, monkeypatch):
    store.add(job(), limit=1)
    file = folders.root / "stretto.db"
    monkeypatch.setitem(migrations.STEPS, LATEST + 1, fall_over)
    monkeypatch.setattr(migrations, "LATEST", LATEST + 1)
    with pytest.raises(sqlite3.OperationalError, match="disk on fire"):
        migrate(file)
    monkeypatch.undo()
    assert migrate(file) == LATEST
    assert PonyJobStore(open_database(file)).waiting() == 1


def test_a_database_of_version_1_is_upgraded(folders):
    file = folders.root / "stretto.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        STEPS[1](connection)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO invocation (uuid, user_id, status, attempts, created, started, total, outputs, images, plan) "
            "VALUES ('0123456789abcdef0123456789abcdef', 0, 'completed', 1, 1.0, 2.0, 45, 1, '[\"a.png\"]', '{}')"
        )
        connection.execute("INSERT INTO setting VALUES ('max_queued_invocations', '9')")
    records = open_database(file)
    assert find(records, "0123456789abcdef0123456789abcdef", 0).images == ("a.png",)
    assert SettingsStore(records).load().max_queued_invocations == 9
    assert people(records) == []
    assert first_administrator(records, None)
    records.close()
    with closing(sqlite3.connect(folders.root / "stretto.db.v1")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone()[0] == 1
        assert copy.execute("SELECT COUNT(*) FROM invocation").fetchone()[0] == 1


def test_one_of_everything_survives_another_opening(records, folders):
    person = add_user(records, UserForm(username="ann", new_password="x", repeat_password="x"))
    token = log_in(records, "ann", "x")
    records.close()
    again = open_database(folders.root / "stretto.db")
    assert owner(again, token.text).id == person.id
    again.close()
