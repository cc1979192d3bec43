"""`stretto serve` as a process, with its worker; shared by all examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..api.client import Client, Process


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = Process(tmp_path_factory.mktemp("golden"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Process]:
    """One more server, where nothing is invoked."""
    made = Process(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(process: Process) -> Client:
    return process.client


@pytest.fixture(scope="session")
def invoked(process: Process) -> str:
    """The seed's `curl -d '{"prompt": "Hello, world!"}'`, completed."""
    uuid: str = process.client.post("/api/invoke", b'{"prompt": "Hello, world!"}').data["uuid"]
    process.client.wait(uuid, "completed")
    return uuid
