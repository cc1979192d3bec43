"""A plain HTTP client, which takes only answers that are documented, and a server process for tests."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stretto.api.store import PonyJobStore
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders

from .conformance import Contract, deviations

COMMAND = Path(sys.executable).with_name("stretto")
# curl's
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUICK = {"prompt": "a red circle", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 1}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body
        return self.json["data"]

    @property
    def details(self) -> list[str]:
        return [entry["detail"] for entry in self.json["errors"]]


# Waitress closes a connection that was quiet for 120 s, as any client must expect.
STALE_S = 60.0


class Client:
    def __init__(self, port: int, token: str = "", contract: Contract | None = None) -> None:
        self.port = port
        self.contract = contract
        self.token = token
        self._used = time.monotonic()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if time.monotonic() > self._used + STALE_S:
            self._connection.close()  # the next request opens it again
        self._used = time.monotonic()
        sent = dict(headers or FORM)
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        self._connection.request(method, path, body=raw, headers=sent)
        response = self._connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        found = list(deviations(method, path, answer.status, answer.headers, answer.body, self.contract))
        assert not found, f"the OpenAPI document says otherwise: {found}"
        return answer

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        return self.call("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)

    def wait(self, uuid: str, *statuses: str, timeout_s: float = 120) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            seen = self.get(f"/api/invocation/{uuid}").data
            if seen["status"] in statuses:
                return seen
            assert seen["status"] != "error", seen
            time.sleep(0.02)
        raise AssertionError(f"{uuid} is still {seen}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    client: Client
    host: Host
    store: PonyJobStore
    folders: Folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    still: Still
    admin: Client
    ann: Client
    bob: Client


@dataclass(slots=True)
class Process:
    """`stretto serve` on a free port over one data directory; may be started again and again."""

    root: Path
    options: tuple[str, ...] = ()
    client: Client = field(init=False)
    popen: subprocess.Popen[str] = field(init=False)
    line: str = ""

    @property
    def data(self) -> Path:
        return self.root / "data"

    def start(self) -> None:
        plugins = self.root / "plugins.toml"
        if not plugins.exists():  # what was changed stays
            plugins.write_text("[host]\nautoload = false\n")
        self.popen = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", "--data-dir", self.data, "--plugins", plugins, *self.options],
            stdout=subprocess.PIPE,
            stderr=(self.root / "stderr.txt").open("a"),
            text=True,
        )
        assert self.popen.stdout is not None
        self.line = self.popen.stdout.readline()
        found = re.search(r"http://[\d.]+:(\d+)", self.line)
        assert found, (self.line, (self.root / "stderr.txt").read_text())
        self.client = Client(int(found[1]))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        self.popen.send_signal(number)
        code = self.popen.wait(30)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return code
