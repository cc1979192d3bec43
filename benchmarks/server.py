"""A running `stretto serve` to measure: its process tree, and a client that speaks HTTP to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["ONE_THREAD", "Server", "running"]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
START_TIMEOUT_S = 60.0
JOB_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server answers and which process it is; `cold_start_s` is exec to first 200."""

    url: str
    process: psutil.Process
    cold_start_s: float

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one request; gives the answer's `data`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, method=method, data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            parsed: dict[str, Any] = json.load(answer)
        found: dict[str, Any] = parsed["data"]
        return found

    def invoke(self, payload: Mapping[str, Any], poll_s: float = 0.05) -> dict[str, Any]:
        """Run one job to its end; raises RuntimeError with the job's message if it fails."""
        uuid = self.call("POST", "/api/invoke", payload)["uuid"]
        deadline = time.monotonic() + JOB_TIMEOUT_S
        while time.monotonic() < deadline:
            job = self.call("GET", f"/api/invocation/{uuid}")
            if job["status"] == "completed":
                return job
            if job["status"] == "error":
                raise RuntimeError(job["message"])
            time.sleep(poll_s)
        raise TimeoutError(f"job {uuid} took more than {JOB_TIMEOUT_S} s")

    def cpu_s(self) -> float:
        """CPU-seconds of the server and its children so far."""
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def rss_bytes(self) -> int:
        """Resident memory of the server process alone."""
        return int(self.process.memory_info().rss)


def _first_answer(process: subprocess.Popen[str], began: float) -> tuple[str, float]:
    assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
    for line in process.stdout:
        start = line.find("http://")
        if start < 0:
            continue
        url = line[start:].split()[0].rstrip("/.,")
        with urllib.request.urlopen(url + "/api", timeout=START_TIMEOUT_S) as answer:
            answer.read()
        return url, time.perf_counter() - began
    raise RuntimeError(f"the server ended with status {process.wait()} before it listened")


@contextmanager
def running(
    data_dir: Path, settings: Mapping[str, Any] | None = None, plugins: Path | None = None
) -> Iterator[Server]:
    """Start `stretto serve` on a free port with one compute thread; stop it gracefully afterwards.

    `plugins` is its plugins.toml, the one that it finds by itself if none is said.
    """
    command = [
        sys.executable,
        "-m",
        "stretto.api.cli.main",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
        *(() if plugins is None else ("--plugins", str(plugins))),
    ]
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
    ) as process:
        try:
            url, cold_start_s = _first_answer(process, began)
            server = Server(url=url, process=psutil.Process(process.pid), cold_start_s=cold_start_s)
            if settings:
                server.call("POST", "/api/settings", settings)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)
