"""What is refused before the application is asked."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from stretto.host.settings import Settings

MIB = 2**20


def connect(still):
    return socket.create_connection(("127.0.0.1", still.client.port), timeout=30)


def read_answer(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[
            1
        ]
    )
    while len(body) < length:
        body += sock.recv(65536)
    return head.decode(), json.loads(body)


def assert_refused(head, body):
    assert head.startswith("HTTP/1.1 413 ")
    assert "application/vnd.api+json" in head
    assert "Access-Control-Allow-Origin: *" in head
    error = body["errors"][0]
    assert error["status"] == "413"
    assert error["title"] == "PayloadTooLargeError"
    assert "max_body_bytes" in error["detail"]


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_large_body_is_refused_at_its_headers(still, expect):
    with connect(still) as sock:
        began = time.perf_counter()
        sock.sendall(
            f"POST /api/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: {300 * MIB}\r\n{expect}\r\n".encode()
        )
        head, body = read_answer(sock)
        assert time.perf_counter() - began < 10  # no byte of the body was sent
    assert_refused(head, body)


def test_a_large_body_is_a_problem_to_those_who_ask(still):
    with connect(still) as sock:
        asked = f"Accept: application/problem+json\r\nContent-Length: {300 * MIB}\r\n"
        sock.sendall(f"POST /api/invoke?a=b HTTP/1.1\r\nHost: x\r\n{asked}\r\n".encode())
        head, body = read_answer(sock)
    assert head.startswith("HTTP/1.1 413 ")
    assert "Content-Type: application/problem+json" in head
    assert (body["type"], body["status"], body["instance"]) == (
        "/api/problems/payload-too-large",
        413,
        "/api/invoke",
    )


def test_a_client_that_sends_all_300_mb_first_still_reads_the_answer(still):
    with connect(still) as sock:
        sock.sendall(f"POST /api/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: {300 * MIB}\r\n\r\n".encode())
        block = b"x" * MIB
        for _ in range(300):
            sock.sendall(block)
        assert_refused(*read_answer(sock))


def test_a_chunked_body_is_bounded(still):
    still.host.update_settings(Settings(max_body_bytes=MIB))
    with connect(still) as sock:
        sock.sendall(b"POST /api/invoke HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")

        def send():
            try:
                for _ in range(64):
                    sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            except OSError:
                pass

        sender = threading.Thread(target=send)
        sender.start()
        assert_refused(*read_answer(sock))
        sender.join()


def test_a_small_chunked_body_is_read(still):
    with connect(still) as sock:
        sock.sendall(
            b"POST /api/settings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'd\r\n{"cache_mode"\r\n6\r\n:null}\r\n0\r\n\r\n'
        )
        head, body = read_answer(sock)
    assert head.startswith("HTTP/1.1 200 ")
    assert body["data"]["cache_mode"] is None


def test_the_limit_is_the_setting_of_the_moment(still):
    answer = still.client.post("/api/settings", {"max_body_bytes": 2048})
    assert answer.data["max_body_bytes"] == 2048
    assert still.client.post("/api/settings", {"unknown": "x" * 2000}).status == 200
    with connect(still) as sock:
        sock.sendall(b"POST /api/settings HTTP/1.1\r\nHost: x\r\nContent-Length: 2049\r\n\r\n" + b"x" * 2049)
        assert_refused(*read_answer(sock))


def test_the_server_goes_on_after_refusals(still):
    for _ in range(3):
        with connect(still) as sock:
            sock.sendall(b"POST /api/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
    assert still.client.get("/api").status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: minus\r\n\r\n",
        b"GET /api HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_broken_http_is_answered_in_the_envelope(still, request_bytes):
    with connect(still) as sock:
        sock.sendall(request_bytes)
        head, body = read_answer(sock)
    assert "application/vnd.api+json" in head
    assert body["errors"][0]["status"] in {"400", "501"}
