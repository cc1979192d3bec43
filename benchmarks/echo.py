"""What the machine itself makes of a round trip at this moment: a process that sends back what it gets, and a client."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

__all__ = ["echo_times"]

SERVER = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
while data := connection.recv(1024):
    connection.sendall(data)
"""


def echo_times(count: int = 300, apart_s: float = 0.02) -> list[float]:
    """Send a byte and wait for it, again and again; gives the milliseconds of each time."""
    times = []
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            for _ in range(count):
                began = time.perf_counter()
                client.sendall(b"x")
                client.recv(1)
                times.append(1000 * (time.perf_counter() - began))
                time.sleep(apart_s)
    return times
