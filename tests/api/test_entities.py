"""The database: migrations, and that entities and tables agree."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from pony.orm import db_session
from stretto.api.accounts import UserForm, add_user, first_administrator, log_in, people
from stretto.api.dialects import SQLITE
from stretto.api.entities import open_database
from stretto.api.history import HISTORY_COLUMNS, find, history
from stretto.api.listing import listing_of
from stretto.api.migrations import LATEST, STEPS, migrate, version_of
from stretto.api.settings_store import SettingsStore
from stretto.api.store import PonyJobStore
from stretto.api.tokens import owner
from stretto.host.errors import ConfigurationError

from .plans import job

DATABASES = Path(__file__).parent / "databases"


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


@pytest.mark.both_databases
def test_tables_have_exactly_the_entities_columns(records, other):
    for table in records.database.schema.tables.values():
        if records.dialect is SQLITE:
            laid = {row[1]: bool(row[3]) for row in other(f'PRAGMA table_info("{table.name}")')}
        else:
            laid = dict(
                other(
                    "SELECT column_name, is_nullable = 'NO' FROM information_schema.columns "  # noqa: S608
                    f"WHERE table_schema = current_schema() AND table_name = '{table.name}'"
                )
            )
        assert set(laid) == {column.name for column in table.column_list}
        for column in table.column_list:
            assert laid[column.name] == column.is_not_null or column.is_pk


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "stretto.db").write_bytes(b"hello, world! " * 100)
    with pytest.raises(ConfigurationError, match="not a usable database"):
        open_database(tmp_path / "stretto.db")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "stretto.db").mkdir()
    with pytest.raises(ConfigurationError, match="unable to open database file"):
        open_database(tmp_path / "stretto.db")


@pytest.fixture
def next_step(monkeypatch):
    """What gives the schema one more step than this release has."""

    def add(forward):
        monkeypatch.setitem(STEPS, LATEST + 1, forward)

    return add


def add_colour(schema):
    schema.lay('ALTER TABLE "invocation" ADD COLUMN "colour" {real}')


def fall_over(schema):
    add_colour(schema)
    schema.lay("SELECT colour FROM nowhere")


def test_an_old_file_is_copied_and_brought_forward(store, folders, next_step):
    kept = store.add(job(), limit=1)
    file = folders.root / "stretto.db"
    next_step(add_colour)
    assert migrate(file) == LATEST
    for name, columns in (("stretto.db", 1), (f"stretto.db.v{LATEST}", 0)):
        with closing(sqlite3.connect(folders.root / name)) as connection:
            assert connection.execute("SELECT uuid FROM invocation").fetchone()[0] == kept.uuid
            found = [row[1] for row in connection.execute("PRAGMA table_info(invocation)")]
            assert found.count("colour") == columns


@pytest.mark.both_databases
def test_a_failed_step_changes_nothing(store, database, monkeypatch, next_step, other):
    store.add(job(), limit=1)
    next_step(fall_over)
    with pytest.raises((sqlite3.OperationalError, ConfigurationError), match="nowhere"):
        migrate(database)
    monkeypatch.undo()
    assert migrate(database) == LATEST
    assert "colour" not in repr(other("SELECT * FROM invocation"))
    assert PonyJobStore(open_database(database)).waiting() == 1


@pytest.mark.both_databases
def test_a_newer_database_is_refused_and_left_alone(store, database, monkeypatch, next_step):
    next_step(add_colour)
    migrate(database)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match=f"version {LATEST + 1}; this release reads up to {LATEST}"):
        open_database(database)
    assert version_of(database) == LATEST + 1


# each made by the first commit that laid that schema: four invocations, a setting, and from 2 on a user
@pytest.mark.parametrize("version", [1, 2])
def test_a_database_of_an_earlier_release_is_upgraded(folders, version):
    file = folders.root / "stretto.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((DATABASES / f"v{version}.sql").read_text())
    records = open_database(file)
    assert version_of(file) == LATEST
    assert find(records, f"{1:032x}", 0).images == ("a_0.png", "a_1.png")
    assert find(records, f"{2:032x}", 0).error == "no room"
    page, count = history(records, listing_of({}, HISTORY_COLUMNS, records.dialect), 0)
    assert (len(json.loads(page)), count) == (4, 4)
    store = PonyJobStore(records)
    assert [left.plan.prompt for left in store.unfinished()] == ["ünï “cat” 3"]
    assert store.claim().plan.prompt == "ünï “cat” 4"
    assert SettingsStore(records).load().max_queued_invocations == 9
    assert [person.first_name for person in people(records)] == ["Änne"] * (version - 1)
    if version == 1:
        assert first_administrator(records, None)
    else:
        assert owner(records, log_in(records, "ann", "x").text).admin
    records.close()
    assert version_of(folders.root / f"stretto.db.v{version}") == version


@pytest.mark.both_databases
def test_a_database_of_version_1_is_upgraded(folders, database, monkeypatch):
    for later in range(2, LATEST + 1):
        monkeypatch.delitem(STEPS, later)
    assert migrate(database) == 0
    monkeypatch.undo()
    assert version_of(database) == 1
    assert migrate(database) == 1
    records = open_database(database)
    assert people(records) == []
    assert log_in(records, "enfugue", first_administrator(records, None))
    records.close()


@pytest.mark.both_databases
def test_many_open_a_new_database_at_once(database):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: migrate(database), range(6)))
    assert min(found) == 0
    assert version_of(database) == LATEST


@pytest.mark.both_databases
def test_one_of_everything_survives_another_opening(records, database):
    person = add_user(records, UserForm(username="ann", new_password="x", repeat_password="x"))
    token = log_in(records, "ann", "x")
    records.close()
    again = open_database(database)
    assert owner(again, token.text).id == person.id
    again.close()
