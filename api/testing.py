"""The pytest plugin for authors of routes: the JSON API in the test's own process, without a socket.

It is there in every environment that has Stretto; loading it imports pytest alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from stretto.host.runtime.host import Host

    from .store import PonyJobStore

__all__ = ["ApiAnswer", "ApiClient", "api_store", "client"]

MARK = "stretto"  # the mark of stretto.host.testing.fixtures
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What the API answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Give the body as JSON."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """Give `data` of the envelope; raises AssertionError with the errors of a refused call."""
        if self.status != 200:  # noqa: PLR2004 - HTTP's OK
            raise AssertionError(f"{self.status}: {self.body.decode(errors='replace')}")
        return self.json["data"]

    @property
    def errors(self) -> list[Any]:
        """Give `errors` of the envelope, each with `title` and `detail`."""
        found: list[Any] = self.json["errors"]
        return found


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Calls one application as a web server would; `host` is the host behind it."""

    host: Host
    app: Callable[..., Any]

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        """GET a path, with its query."""
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        """POST a value as JSON."""
        return self.call("POST", path, body, headers)

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        """DELETE a path."""
        return self.call("DELETE", path, headers=headers)

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        """Call with any method; `body` is sent as it is if it is bytes, else as JSON, and not at all if it is None."""
        said: dict[str, Any] = {}

        def start_response(status: str, told: list[tuple[str, str]], _error: object = None) -> None:
            said["status"] = int(status.split(" ", 1)[0])
            said["headers"] = {name.lower(): value for name, value in told}

        given = self.app(_environ(method, path, body, headers or {}), start_response)
        try:
            answer = b"".join(given)
        finally:
            if hasattr(given, "close"):
                given.close()
        return ApiAnswer(said["status"], said["headers"], answer)

    def invoke(self, *, timeout_s: float = 120.0, **parameters: Any) -> Any:
        """Have a picture drawn by the worker, and give the invocation once it is complete.

        Raises AssertionError for one that is refused or fails, TimeoutError after `timeout_s`.
        """
        uuid = self.post("/api/invoke", parameters).data["uuid"]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            seen = self.get(f"/api/invocation/{uuid}").data
            if seen["status"] == "completed":
                return seen
            if seen["status"] == "error":
                raise AssertionError(f"the invocation failed: {seen.get('message') or seen}")
            time.sleep(POLL_S)
        raise TimeoutError(f"the invocation {uuid} is not complete after {timeout_s} s")


@pytest.fixture
def api_store(tmp_path: Path) -> Iterator[PonyJobStore]:
    """Give the API's records in a database of the test's own."""
    from .entities import open_database
    from .store import PonyJobStore, database_file

    records = open_database(database_file(tmp_path / "api"))
    yield PonyJobStore(records)
    records.close()


# the store is asked for first, so that it is closed after the host that writes to it
@pytest.fixture
def client(
    request: pytest.FixtureRequest, api_store: PonyJobStore, open_host: Callable[..., Host]
) -> Iterator[ApiClient]:
    """Give the API in this process, over a host as the fixture `host` has it, whose worker draws."""
    from .app import build_app

    mark = request.node.get_closest_marker(MARK)
    host = open_host(**{**(mark.kwargs if mark is not None else {}), "store": api_store})
    app = build_app(host, api_store)
    yield ApiClient(host, app)
    app.close()


def _environ(method: str, path: str, body: object, headers: Mapping[str, str]) -> dict[str, Any]:
    from io import BytesIO
    from urllib.parse import unquote_to_bytes
    from wsgiref.util import setup_testing_defaults

    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    where, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(where).decode("latin-1"),  # as PEP 3333 has it
        "QUERY_STRING": query,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(sent)),
        "CONTENT_TYPE": "application/json" if body is not None else "",
        "wsgi.input": BytesIO(sent),
    }
    setup_testing_defaults(environ)
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
