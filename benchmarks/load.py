"""A server with 100,000 invocations behind it: calls per second, alone, at work, and with watchers and a full queue."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import statistics
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .echo import echo_times
from .history_rows import fill, plans_of
from .report import Row
from .server import Server, running
from .wrk import CONNECTIONS, Rate, rate_of

__all__ = ["load"]

ROWS = 100_000
WATCHERS = 200
QUEUE = 1000
FREE = 300  # places of the queue that are left for the calls that are timed
ROUNDS = 5
MODEL = "starter"
# what a path is called, and how many calls a second there must be
PATHS: tuple[tuple[str, str, float], ...] = (
    ("constant JSON, /healthz", "/healthz", 4000),
    ("GET /api", "/api", 1000),
    ("history, limit=10, with count", "/api/invocation-history?limit=10", 1200),
    ("history, limit=100, with count", "/api/invocation-history?limit=100", 600),
    ("history, one by id", "/api/invocation-history/{uuid}", 1500),
)
WORK = {
    "model": MODEL,
    "prompt": "a blue star",
    "num_inference_steps": 60,
    "samples": 2,
    "intermediates": False,
}


@dataclass(slots=True)
class Times:
    """Milliseconds of calls, one after another."""

    acks: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)


def load(out: Path) -> list[Row]:
    """Measure all of it in a data directory of its own under `out`."""
    data_dir = out / "load"
    with running(data_dir) as server:
        plans = plans_of(server, MODEL)
    database = data_dir / "stretto.db"
    size = fill(database, plans, ROWS, until=time.time() - 60)
    with running(data_dir, {"max_queued_invocations": QUEUE, "max_event_streams": WATCHERS}) as server:
        paths = {name: (path.format(uuid=_middle(database)), bound) for name, path, bound in PATHS}
        about = f"wrk, {CONNECTIONS} connections, {ROWS:,} rows of {size:,} bytes of plan"
        rows = []
        for name, (path, bound) in paths.items():
            rows.append(_rate_row(name, rate_of(server.url + path), bound, about))
        rows.append(_memory_row("API process at most, alone", server))
        return rows + _at_work(server, {name: path for name, (path, _) in paths.items()})


def _at_work(server: Server, paths: Mapping[str, str]) -> list[Row]:
    alone, crowd, echo = [], [], []
    for turn in range(ROUNDS):  # in turns: a spell in which this machine is slow meets both
        with _busy(server, 2) as uuids:
            alone.append(_timed(server, uuids[0]))
            echo += echo_times()
            if turn == 0:
                alone_rates = _rates(server, paths)
        with _busy(server, QUEUE - FREE) as uuids, _watching(server, uuids[-1]):
            crowd.append(_timed(server, uuids[0]))
            if turn == 0:
                _refused_when_full(server)
                crowd_rates = _rates(server, paths)
    acks, polls = _middles(alone)
    slowest = max(time for times in alone for time in times.polls)
    rows = [
        _row("invoke ack p95, busy", acks, 10, _calls([times.acks for times in alone], echo)),
        _row("status poll p99, busy", polls, 20, _calls([times.polls for times in alone], echo)),
        _row("status poll, the slowest, busy", slowest, 50, _calls([times.polls for times in alone], echo)),
    ]
    about = f"{WATCHERS} idle watchers and a full queue against neither, the worker busy in both"
    turns = f"{about}, the middle one of {ROUNDS} turns"
    rows += [
        _ratio("invoke ack p95, crowded", _middles(crowd)[0], acks, "ms", turns),
        _ratio("status poll p99, crowded", _middles(crowd)[1], polls, "ms", turns),
    ]
    for name in paths:
        now, before = 1000 / crowd_rates[name].per_s, 1000 / alone_rates[name].per_s
        rows.append(_ratio(f"{name}, crowded", now, before, "ms a call", about))
    return [*rows, _memory_row("API process at most, crowded", server)]


def _middles(turns: list[Times]) -> tuple[float, float]:
    """Give the p95 of invoking and the p99 of looking, each of its middle turn."""
    acks = statistics.median(_share(times.acks, 0.95) for times in turns)
    return acks, statistics.median(_share(times.polls, 0.99) for times in turns)


def _calls(turns: list[list[float]], echo: list[float]) -> str:
    machine = f"p95 {_share(echo, 0.95):.1f}, p99 {_share(echo, 0.99):.1f}, most {max(echo):.1f} ms"
    return f"{len(turns)} turns of {len(turns[0])} calls; a bare echo beside them: {machine}"


def _rates(server: Server, paths: Mapping[str, str]) -> dict[str, Rate]:
    return {name: rate_of(server.url + path, rounds=3) for name, path in paths.items()}


@contextmanager
def _busy(server: Server, jobs: int) -> Iterator[list[str]]:
    """Give the worker more than enough to do; gives the jobs, the first of them at work."""
    uuids = [server.call("POST", "/api/invoke", {**WORK, "iterations": 50})["uuid"] for _ in range(jobs)]
    try:
        while server.call("GET", f"/api/invocation/{uuids[0]}")["status"] == "queued":
            time.sleep(0.05)
        yield uuids
    finally:
        found: Any = server.call("GET", "/api/invocation")
        for job in reversed(found):
            if job["status"] in {"queued", "processing"}:
                server.call("POST", "/api/invocation/stop", {"uuid": job["uuid"]})


def _timed(server: Server, uuid: str, count: int = 60) -> Times:
    """Invoke and look at a job in turn over one connection, ten looks a call, 20 ms apart."""
    times, place = Times(), urllib.parse.urlsplit(server.url)
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)) as connection:

        def call(method: str, path: str, body: str | None = None) -> float:
            began = time.perf_counter()
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{method} {path} was answered with {answer.status}")
            return 1000 * (time.perf_counter() - began)

        for _ in range(count):
            times.acks.append(call("POST", "/api/invoke", json.dumps(WORK)))
            for _ in range(10):
                times.polls.append(call("GET", f"/api/invocation/{uuid}"))
                time.sleep(0.02)
    return times


@contextmanager
def _watching(server: Server, uuid: str) -> Iterator[None]:
    """Open streams of the events of a job that waits, and leave them open."""
    place = urllib.parse.urlsplit(server.url)
    asked = f"GET /api/invocation/{uuid}/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(WATCHERS):
            opened = stack.enter_context(
                socket.create_connection((place.hostname, place.port or 80), timeout=60)
            )
            opened.sendall(asked)
            if not opened.recv(65536).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("a stream of events was refused")
        yield


def _refused_when_full(server: Server) -> None:
    """Fill what is left of the queue, so that the next call is too many; raises RuntimeError if none is."""
    for _ in range(QUEUE + 1):
        try:
            server.call("POST", "/api/invoke", WORK)
        except urllib.error.HTTPError as error:
            if error.code == http.client.TOO_MANY_REQUESTS:
                return
            raise
    raise RuntimeError("the queue took more than it may")


def _middle(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT uuid FROM invocation WHERE id = ?", (ROWS // 2,)).fetchone()
    return str(found[0])


def _share(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _row(name: str, value: float, bound: float, detail: str) -> Row:
    return Row(name=name, value=value, bound=bound, unit="ms", detail=detail)


def _rate_row(name: str, rate: Rate, bound: float, about: str) -> Row:
    return Row(
        name=name,
        value=rate.per_s,
        bound=bound,
        unit="calls/s",
        detail=f"{about}, p99 {rate.p99_ms:.1f} ms",
        least=True,
    )


def _ratio(name: str, now: float, before: float, unit: str, about: str) -> Row:
    detail = f"{now:.2f} against {before:.2f} {unit}: {about}"
    return Row(name=name, value=now / before, bound=1.5, unit="x", detail=detail)


def _memory_row(name: str, server: Server) -> Row:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return Row(name=name, value=peak, bound=200, unit="MiB", detail="peak resident memory so far")
