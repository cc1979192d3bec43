"""Another server for tests, on 127.0.0.1: files with ranges, redirects, faults on demand, and CivitAI's shape."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from struct import pack
from typing import Any
from urllib.parse import parse_qs, urlsplit


def weights(count: int) -> bytes:
    """A whole safetensors file with `count` bytes in one tensor."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    return pack("<Q", len(header)) + header + bytes(index % 251 for index in range(count))


class StandIn:
    """Serves `files` by path; `faults` says what goes wrong with a path, once for each entry."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.gate = threading.Event()  # what has the fault "hold" waits for it in the middle
        self.answer: Callable[[dict[str, list[str]]], Any] = lambda _query: {"items": []}
        self.url = ""

    def ranges(self, path: str) -> list[str | None]:
        return [headers.get("Range") for asked, headers in self.asked if asked == path]


@contextmanager
def standing_in(tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    state = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        state.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.state.asked.append((path, dict(self.headers)))
        faults = self.state.faults.get(path)
        fault = faults.pop(0) if faults else ""
        if path == "/api/v1/models":
            self._whole(json.dumps(self.state.answer(parse_qs(urlsplit(self.path).query))).encode())
        elif fault.startswith("to "):
            self._headers(302, 0, Location=fault[3:])
        elif fault.isdigit():
            self._headers(int(fault), 0)
        elif path in self.state.files:
            self._file(self.state.files[path], fault)
        else:
            self._headers(404, 0)

    def _file(self, content: bytes, fault: str) -> None:
        etag = f'"{len(content)}"'
        asked = self.headers.get("Range")
        start = int(asked[6:-1]) if asked and self.headers.get("If-Range") == etag else 0
        if start >= len(content):
            self._headers(416, 0, **{"Content-Range": f"bytes */{len(content)}"})
            return
        span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self._headers(206 if start else 200, len(content) - start, ETag=etag, **span)
        half = start + (len(content) - start) // 2
        self.wfile.write(content[start:half])
        if fault == "break":
            self.close_connection = True
            return
        if fault == "hold":
            self.state.gate.wait(20)
        self.wfile.write(content[half:])

    def _whole(self, body: bytes) -> None:
        self._headers(200, len(body))
        self.wfile.write(body)

    def _headers(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
