"""A PostgreSQL server as the place of the database: its address, its refusals, and its going away."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from pony.orm import DatabaseError, db_session
from stretto.api import pony_postgres
from stretto.api.entities import open_database
from stretto.api.migrations import LATEST, version_of
from stretto.api.postgres import held_alone, server_of
from stretto.api.store import PonyJobStore
from stretto.host.errors import ConfigurationError

from .client import COMMAND, QUICK, Process
from .plans import job


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ann:s3cret@db.example:6543/pictures", "postgres://ann@db.example:6543/pictures"),
        ("postgresql://ann:s3cret@db.example/pictures?sslmode=require", "postgres://ann@db.example/pictures"),
        ("postgres://db.example/pictures?user=ann&password=s3cret", "postgres://ann@db.example/pictures"),
        (
            "postgres://ann:s3cret@/pictures?host=/run/postgresql",
            "postgres://ann@/pictures?host=/run/postgresql",
        ),
        (
            "postgres://ann:s3cret@%2Frun%2Fpostgresql/pictures",
            "postgres://ann@/pictures?host=/run/postgresql",
        ),
        ("postgres:///pictures", "postgres:///pictures"),
    ],
)
def test_an_address_is_shown_without_its_password(url, shown):
    server = server_of(url)
    assert str(server) == shown
    assert "s3cret" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann:s3cret@db.example/pictures",
        "ann:s3cret@db.example",
        "postgres://ann:s3cret%zz@db.example/pictures",
        "postgres://ann:p@s3cret@db.example/pictures",
        "postgres://ann:p/s3cret@db.example/pictures",
        "postgres://ann:x@db.example:s3cret/pictures",
        "postgres://ann:x@db.example/pictures?passwort=s3cret",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(url):
    with pytest.raises(ConfigurationError, match="STRETTO_DATABASE") as caught:
        server_of(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_a_user_sets_wins():
    options = server_of("postgres://h/d?options=-c%20lock_timeout%3D1s&connect_timeout=3").parameters
    assert options["connect_timeout"] == "3"
    assert options["options"].endswith("-c lock_timeout=1s")


def test_a_server_that_is_not_there_is_one_error_with_a_remedy(tmp_path):
    with pytest.raises(ConfigurationError, match="Start that server, or correct --database") as caught:
        open_database(server_of(f"postgres://ann:s3cret@/d?host={tmp_path}"))
    assert "s3cret" not in str(caught.value)
    assert f"postgres://ann@/d?host={tmp_path}" in str(caught.value)


def test_without_the_driver_its_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'stretto\[postgres\]'"):
        server_of("postgres://h/d")


def test_a_wrong_password_is_said_without_it(postgres):
    with pytest.raises(ConfigurationError, match="password authentication failed for user") as caught:
        open_database(server_of(postgres.url(user="locked:wrong")))
    assert "wrong" not in str(caught.value)


def test_a_user_without_rights_is_told_who_may(postgres):
    with pytest.raises(ConfigurationError, match=r"permission denied.*createdb --owner=USER"):
        open_database(server_of(postgres.url(user="locked:s3cret")))


def test_a_database_that_holds_something_else_stays_as_it_is(postgres):
    url = postgres.new_url()
    server = server_of(url)
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute('CREATE TABLE "model" (mine INTEGER)')
    with pytest.raises(ConfigurationError, match=r'"model" already exists.*a database of its own'):
        open_database(server)
    assert version_of(server) == 0


def test_a_database_without_unicode_is_refused(postgres):
    postgres.run("CREATE DATABASE plain ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="createdb --encoding=UTF8"):
        open_database(server_of(postgres.url("plain")))


def test_one_server_at_a_time(postgres):
    server = server_of(postgres.new_url())
    with (
        held_alone(server),
        pytest.raises(ConfigurationError, match="in use by another server"),
        held_alone(server),
    ):
        pass
    with held_alone(server):
        pass


def test_local_times_are_this_process_own(postgres, monkeypatch):
    for zone, hour in (("America/New_York", 8), ("Asia/Kolkata", 17), ("CET-1CEST,M3.5.0,M10.5.0", 14)):
        monkeypatch.setenv("TZ", zone)
        with server_of(postgres.url()).connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT EXTRACT(HOUR FROM TO_TIMESTAMP(1690459452))")
            assert cursor.fetchone()[0] == hour


def test_a_server_that_comes_back_is_used_again(postgres, monkeypatch):
    store = PonyJobStore(open_database(server_of(postgres.new_url())))
    kept = store.add(job(), limit=9)
    postgres.stop()
    try:
        with pytest.raises(DatabaseError):
            store.add(job(), limit=9)
    finally:
        postgres.start()
    assert store.waiting() == 1
    assert store.claim().uuid == kept.uuid
    postgres.stop()
    postgres.start()
    monkeypatch.setattr(pony_postgres, "QUIET_S", 0.0)
    store.requeue(kept.uuid)
    assert store.waiting() == 1


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_callers_are_told_to_come_again_while_it_is_away(still, postgres):
    uuid = still.client.post("/api/invoke", QUICK).data["uuid"]
    postgres.stop()
    try:
        for method, path in (("GET", f"/api/invocation/{uuid}"), ("POST", "/api/invoke"), ("GET", "/readyz")):
            connection = http.client.HTTPConnection("127.0.0.1", still.client.port)
            connection.request(method, path, body=json.dumps(QUICK))
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), answer.read()
            connection.close()
    finally:
        postgres.start()
    assert still.client.get(f"/api/invocation/{uuid}").data["status"] == "queued"
    assert still.client.post("/api/invoke", QUICK).status == 200


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_its_death_is_no_fault_of_the_server_and_is_over_with_its_return(still, postgres):
    read, write = ("GET", "/api/models"), ("DELETE", "/api/models/nobody")

    def ask(method, path):
        connection = http.client.HTTPConnection("127.0.0.1", still.client.port)
        connection.request(method, path)
        answer = connection.getresponse()
        said = (answer.status, answer.headers["Retry-After"], answer.read())
        connection.close()
        return said

    def asked(one):  # of every thread of the server, each of which has a connection of its own
        with ThreadPoolExecutor(8) as pool:
            return {said[:2] for said in pool.map(lambda _: ask(*one), range(16))}

    for first in (write, read):
        assert asked(read) == {(200, None)}
        postgres.run("CHECKPOINT")  # an immediate stop may lose what was written just before
        postgres.stop("immediate")
        if first is read:
            assert {ask(*one)[:2] for one in (read, write) * 5} == {(503, "5")}
        postgres.start()
        assert (asked(first), asked(write)) == ({(404 if first is write else 200, None)}, {(404, None)})


@pytest.mark.both_databases
def test_characters_and_numbers_beyond_the_columns_are_no_fault_of_the_server(still):
    client, large = still.client, 2**63
    model = {"name": "A b", "checkpoint": "starter", "prompt": "\0", "size": 512}
    assert client.post("/api/models", model).status == 200
    assert client.get("/api/models/A%20b").data[0]["attributes"]["prompt"] in ("\0", "\ufffd")
    assert client.post("/api/models", model).status == 409
    assert client.delete("/api/models/A%20b").status == 200
    for path in (
        "/api/models/%00", "/api/users/%00", "/api/invocation/%00", "/api/invocation-history/%00",
        f"/api/invocation/{'x' * 999}", f"/api/users/{'x' * 999}",
    ):  # fmt: skip
        assert client.get(path).status == 404, path
    for query in (
        "filter=id:%00", "ilike=error:%00", "ilike=plan:%00", "ilike=error:%ed%a0%80", "ilike=started:%00", "ilike=error:%5C",
        "ilike=outputs:1", "ilike=duration:0", f"filter=outputs:{large}", "filter=duration:1e308", "filter=started:9999-01-01",
        f"limit={large}&offset={large}", "filter=user_id:-1&sort=duration:desc&sort=error",
    ):  # fmt: skip
        assert client.get(f"/api/invocation-history?{query}").status == 200, query
    for query in (
        f"filter=id:{large}",
        "ilike=username:%00",
        "ilike=last_login:2023",
        "sort=last_login&sort=id:desc",
    ):
        assert client.get(f"/api/users?{query}").status == 200, query
    assert (
        client.post(
            "/api/users",
            {"username": "ann", "new_password": "x\0", "repeat_password": "x\0", "first_name": "\0"},
        ).status
        == 200
    )
    assert client.post("/api/login", {"username": "ann", "password": "x\0"}).status == 200


def test_no_writer_waits_for_ever(postgres):
    url = postgres.new_url().replace("-c%20search", "-c%20lock_timeout%3D100ms%20-c%20search")
    records = open_database(server_of(url))
    with ExitStack() as stack:
        other = stack.enter_context(server_of(url).connect())
        other.cursor().execute(pony_postgres.LOCK)
        with pytest.raises(DatabaseError, match="lock timeout"):
            PonyJobStore(records).add(job(), limit=1)
        with db_session:  # who reads does not wait
            assert records.invocation.select().count() == 0


def test_a_server_over_it_survives_its_death_and_tells_no_password(postgres, tmp_path, monkeypatch):
    postgres.run("CREATE DATABASE served OWNER locked")
    monkeypatch.setenv("STRETTO_DATABASE", postgres.url("served", user="locked:s3cret"))
    process = Process(tmp_path)
    process.start()
    assert f"records in postgres://locked@/served?host={postgres.folder}" in process.line
    uuid = process.client.post("/api/invoke", QUICK).data["uuid"]
    words = [COMMAND, "serve", "--port", "0", "--data-dir", tmp_path / "other"]
    second = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "in use by another server" in second.stderr
    process.stop(signal.SIGKILL)
    process.start()
    assert process.client.get(f"/api/invocation/{uuid}").data["uuid"] == uuid
    assert process.stop() == 0
    assert not (process.data / "stretto.db").exists()
    assert version_of(server_of(postgres.url("served"))) == LATEST
    assert "s3cret" not in process.line + second.stderr + (tmp_path / "stderr.txt").read_text()
