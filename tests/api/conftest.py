"""Fixtures of the API's tests: a database, and a server that runs nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stretto.api.accounts import UserForm, add_user, first_administrator
from stretto.api.app import build_app
from stretto.api.entities import Records, open_database
from stretto.api.postgres import PostgresServer, server_of
from stretto.api.store import PonyJobStore, database_file
from stretto.api.warmth import warm_up
from stretto.api.wire import Address, bind, finish, listen, serve_until
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

from . import cluster
from .client import Client, Signed, Still


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    warm_up().join()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "data")
    made.create()
    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `both_databases` on SQLite and on PostgreSQL; other tests are on SQLite."""
    if "database" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[cluster.Cluster]:
    """Give a cluster of this session's own."""
    reason = cluster.unusable()
    if reason is not None:
        pytest.skip(reason)
    with cluster.running() as started:
        yield started


@pytest.fixture
def database(request: pytest.FixtureRequest, folders: Folders) -> Path | PostgresServer:
    """Give the place of a database where nothing is yet."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return database_file(folders.root)
    return server_of(request.getfixturevalue("postgres").new_url())


@pytest.fixture
def other(database: Path | PostgresServer) -> Iterator[Callable[..., list[tuple[object, ...]]]]:
    """Give what runs a statement on the test's database over a connection of its own, and commits it."""
    connection = sqlite3.connect(database) if isinstance(database, Path) else database.connect()

    def run(statement: str) -> list[tuple[object, ...]]:
        cursor = connection.cursor()
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows

    yield run
    connection.close()


@pytest.fixture
def records(database: Path | PostgresServer) -> Iterator[Records]:
    opened = open_database(database)
    yield opened
    opened.close()


@pytest.fixture
def store(records: Records) -> PonyJobStore:
    return PonyJobStore(records)


@pytest.fixture
def plugins_file(tmp_path: Path) -> Path:
    file = tmp_path / "plugins.toml"
    file.write_text("[host]\nautoload = false\n")
    return file


@pytest.fixture
def still(folders: Folders, store: PonyJobStore, plugins_file: Path) -> Iterator[Still]:
    """A server in this process whose queue was never started: what is invoked waits for ever."""
    host = Host.open(folders, Settings(), plugins_file=plugins_file, store=store)
    bound = bind(Address(host="127.0.0.1", port=0))
    server = listen(build_app(host, store), bound, threads=4, body_limit=lambda: host.settings.max_body_bytes)
    ended = threading.Event()
    thread = threading.Thread(target=serve_until, args=(server, ended.is_set))
    thread.start()
    client = Client(bound.getsockname()[1])
    yield Still(client=client, host=host, store=store, folders=folders)
    client.close()
    ended.set()
    server.pull_trigger()
    thread.join()
    finish(server)
    bound.close()
    host.close()


@pytest.fixture
def signed(still: Still) -> Iterator[Signed]:
    """The still server with authentication, an administrator and two users, all logged in."""
    records = still.store.records
    first_administrator(records, "enfugue")
    for name in ("ann", "bob"):
        add_user(records, UserForm(username=name, new_password=name, repeat_password=name))
    still.client.post("/api/settings", {"auth": True})
    clients = {}
    for name in ("enfugue", "ann", "bob"):
        answer = still.client.post("/api/login", {"username": name, "password": name})
        clients[name] = Client(still.client.port, answer.data["attributes"]["access_token"])
    yield Signed(still=still, admin=clients["enfugue"], ann=clients["ann"], bob=clients["bob"])
    for client in clients.values():
        client.close()
