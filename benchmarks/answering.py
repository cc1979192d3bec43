"""How fast the front answers: command start, server start, and calls while the worker is busy."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from .report import Row
from .server import Server, running

__all__ = ["calls_while_busy", "command_start", "percentile", "server_start"]

MIB = 2**20


def percentile(values: list[float], share: float) -> float:
    """Give the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def command_start(rounds: int = 9) -> Row:
    """Time `stretto --help` as a whole process."""
    command = [str(Path(sys.executable).with_name("stretto")), "--help"]
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return Row(name="stretto --help", value=median(times), bound=0.35, unit="s", detail=f"median of {rounds}")


def server_start(rounds: int = 5) -> list[Row]:
    """Time exec to first 200 on an empty data directory, and the API process' memory then."""
    times, sizes = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
            times.append(server.cold_start_s)
            sizes.append(server.rss_bytes() / MIB)
    detail = f"median of {rounds}"
    return [
        Row(name="API cold start to first 200", value=median(times), bound=1.5, unit="s", detail=detail),
        Row(
            name="API process, resident", value=max(sizes), bound=120, unit="MiB", detail=f"most of {rounds}"
        ),
    ]


def calls_while_busy(server: Server, model: str, seconds: float = 15.0) -> list[Row]:
    """Time invoke's answer and status polls while the worker computes."""
    payload = {"model": model, "prompt": "a blue star", "num_inference_steps": 60, "samples": 2}
    server.call("POST", "/api/settings", {"max_queued_invocations": 1000})
    acks, polls, uuids = [], [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        uuids.append(server.call("POST", "/api/invoke", payload)["uuid"])
        acks.append(1000 * (time.perf_counter() - began))
        for _ in range(10):
            began = time.perf_counter()
            server.call("GET", f"/api/invocation/{uuids[0]}")
            polls.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
    for uuid in uuids:
        server.call("POST", "/api/invocation/stop", {"uuid": uuid})
    return [
        Row(
            name="invoke ack p95, busy",
            value=percentile(acks, 0.95),
            bound=15,
            unit="ms",
            detail=f"{len(acks)} calls",
        ),
        Row(
            name="status poll p99, busy",
            value=percentile(polls, 0.99),
            bound=20,
            unit="ms",
            detail=f"{len(polls)} calls, most {max(polls):.1f} ms",
        ),
    ]
