"""The clients in `examples/` against a server that asks for tokens: what they draw, and what they do when it goes wrong."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from ..api.client import QUICK, Process

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    NODE is None, reason="client.mjs needs Node 18 or newer, which is not installed"
)
CLIENTS = [
    pytest.param([sys.executable, "client.py"], id="python"),
    pytest.param([NODE, "client.mjs"], id="node", marks=needs_node),
]
SMALL = ("--set", "width=64", "--set", "height=64", "--set", "num_inference_steps=3", "--set", "seed=1")
EVENT = re.compile(r"(\d+) (queued|started|progress|completed) (\S+) (\S+)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = Process(tmp_path_factory.mktemp("clients"), ("--auth",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRETTO_ADMIN_PASSWORD", "enfugue")
        made.start()
    login = {"username": "enfugue", "password": "enfugue"}
    made.client.token = made.client.post("/api/login", login).data["attributes"]["access_token"]
    ann = {"username": "ann", "new_password": "secret", "repeat_password": "secret"}
    assert made.client.post("/api/users", ann).status == 200
    yield made
    made.stop()


def started(
    command: list[str], url: str, folder: Path, *more: str, user: str = "ann:secret"
) -> subprocess.Popen[str]:
    given = [*command, "a red circle", *SMALL, "--url", url, "--out", folder / "out", "--user", user, *more]
    return subprocess.Popen(given, cwd=EXAMPLES, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(client: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    out, err = client.communicate(timeout=120)
    return client.returncode, out.splitlines(), err


def url_of(server: Process) -> str:
    return f"http://127.0.0.1:{server.client.port}"


@dataclass
class Cable:
    """Passes bytes between clients and a server, and cuts the first connections that carry events."""

    port: int
    cuts: int
    cut: int = 0
    heads: list[bytes] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._pass, args=(listener.accept()[0],), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.port)) as far, suppress(OSError):
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            while data := far.recv(65536):
                told = data.find(b"event: ")
                if told >= 0 and self.cut < self.cuts:
                    self.cut += 1
                    # right behind one event and the end of its chunk, or the last of them might have come with it
                    near.sendall(data[: data.index(b"\n\n", told) + len(b"\n\n\r\n")])
                    near.shutdown(socket.SHUT_RDWR)
                    return
                near.sendall(data)

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                self.heads.append(data)
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)


@contextmanager
def cable(port: int, cuts: int) -> Iterator[tuple[Cable, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Cable(port=port, cuts=cuts)
        threading.Thread(target=made.serve, args=(listener,), daemon=True).start()
        yield made, f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("command", CLIENTS)
def test_events_go_on_where_a_connection_was_cut(server: Process, tmp_path: Path, command: list[str]) -> None:
    with cable(server.client.port, cuts=1) as (wire, url):
        code, out, err = ended(started(command, url, tmp_path))
    assert code == 0, err
    events = [EVENT.fullmatch(line) for line in err.splitlines()]
    assert all(events), err
    numbers = [int(found[1]) for found in events if found]
    assert numbers == list(range(1, len(numbers) + 1))
    assert events[-1][2] == "completed"
    asked = [head for head in wire.heads if b"/events" in head]
    assert len(asked) > 1
    assert re.search(rb"last-event-id: [1-9]", asked[1].lower())
    assert any(b"idempotency-key" in head.lower() for head in wire.heads)
    (file,) = out
    with Image.open(file) as image:
        assert (image.format, image.size) == ("PNG", (64, 64))
    (row,) = server.client.get(f"/api/invocation-history/{Path(file).name[:32]}").data
    people = {
        person["attributes"]["id"]: person["attributes"]["username"]
        for person in server.client.get("/api/users").data
    }
    assert people[row["attributes"]["user_id"]] == "ann"


@pytest.mark.parametrize("command", CLIENTS)
def test_polling_sees_the_end(server: Process, tmp_path: Path, command: list[str]) -> None:
    code, (file,), err = ended(started(command, url_of(server), tmp_path, "--poll"))
    assert (code, Path(file).exists()) == (0, True)
    assert err.splitlines()[-1].startswith("completed ")


def test_a_full_queue_is_waited_for(server: Process, tmp_path: Path) -> None:
    long = {**QUICK, "width": 512, "height": 512, "num_inference_steps": 900}  # minutes
    busy = server.client.post("/api/invoke", long).data["uuid"]
    server.client.wait(busy, "processing")
    server.client.post("/api/settings", {"max_queued_invocations": 0})
    commands = [param.values[0] for param in CLIENTS if None not in param.values[0]]
    clients = [
        started(command, url_of(server), tmp_path / str(number)) for number, command in enumerate(commands)
    ]
    time.sleep(2.0)
    assert [client.poll() for client in clients] == [None] * len(clients)
    server.client.post("/api/settings", {"max_queued_invocations": 4})
    server.client.post("/api/invocation/stop")
    assert [code for code, _, _ in map(ended, clients)] == [0] * len(clients)


@pytest.mark.parametrize("command", CLIENTS)
def test_faults_are_told_with_the_nearest_value(server: Process, tmp_path: Path, command: list[str]) -> None:
    code, out, err = ended(
        started(command, url_of(server), tmp_path, "--set", "width=20001", "--set", 'scheduler="ddin"')
    )
    assert (code, out) == (1, [])
    assert "400 /api/problems/invalid-request" in err
    assert "#/width: 20001 is not a whole number from 8 to 16384; nearest: 16384" in err
    assert "#/scheduler: " in err
    code, out, err = ended(started(command, url_of(server), tmp_path, user="ann:wrong"))
    assert (code, out) == (1, [])
    assert err.startswith("401 /api/problems/authentication")


@pytest.mark.parametrize("command", CLIENTS)
def test_without_a_server_the_reason_is_said(tmp_path: Path, command: list[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        code, out, err = ended(started(command, f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path))
    assert (code, out) == (1, [])
    assert err.strip()


@pytest.mark.parametrize("given", ["width=foo", "width", "prompt=a cat"])
@pytest.mark.parametrize("command", CLIENTS)
def test_what_is_no_json_is_told_in_a_line(tmp_path: Path, command: list[str], given: str) -> None:
    code, out, err = ended(started(command, "http://127.0.0.1:9", tmp_path, "--set", given))
    assert (code, out, len(err.splitlines())) == (2, [], 1), err
    assert "NAME=JSON" in err
