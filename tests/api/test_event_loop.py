"""The server's main loop: who is watched, what stays unread, and that many connections cost nothing."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
from stretto.api.event_loop import CAN_POLL, Dispatcher
from stretto.api.http_task import HttpTask
from stretto.api.wire import Address, bind, finish, listen, serve_until
from waitress.task import WSGITask

pytestmark = pytest.mark.skipif(not CAN_POLL, reason="the loop needs poll(2)")
LARGE = bytes(range(256)) * 2**15  # 8 MiB, more than a socket takes at once


class Echo:
    """An application whose path says what it gives."""

    def __init__(self):
        self.gate = threading.Event()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/wait":
            assert self.gate.wait(20)
        body = LARGE if path == "/large" else f"{environ['REQUEST_METHOD']} {path}".encode()
        start_response("200 OK", [("content-type", "text/plain"), ("X-wOrD", "a"), ("X-Word", "b")])
        return [body[: len(body) // 2], body[len(body) // 2 :]] if path == "/parts" else [body]

    def close(self):
        self.gate.set()


@pytest.fixture
def served():
    """A server of the echo: its port, the echo, and Waitress' server."""
    echo, bound, ended = Echo(), bind(Address(host="127.0.0.1", port=0)), threading.Event()
    server = listen(echo, bound, threads=2, body_limit=lambda: 1000)
    thread = threading.Thread(target=serve_until, args=(server, ended.is_set))
    thread.start()
    yield SimpleNamespace(port=bound.getsockname()[1], echo=echo, server=server)
    ended.set()
    server.pull_trigger()
    thread.join()
    finish(server)
    bound.close()


def connect(served):
    return socket.create_connection(("127.0.0.1", served.port), timeout=20)


def asked(path, **headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


def read_until(sock, mark):
    data = b""
    while mark not in data:
        more = sock.recv(2**20)
        assert more, data[-200:]
        data += more
    return data


def test_calls_sent_at_once_are_answered_in_order(served):
    with connect(served) as sock:
        sock.sendall(b"".join(asked(f"/{number}") for number in range(50)))
        text = read_until(sock, b"GET /49")
    places = [text.index(b"GET /%d" % number) for number in range(50)]
    assert places == sorted(places)


def test_what_comes_while_a_call_is_answered_waits_without_a_busy_loop(served):
    with connect(served) as sock:
        sock.sendall(asked("/wait"))
        time.sleep(0.05)
        sock.sendall(asked("/next"))
        before = time.process_time()
        time.sleep(0.2)
        assert time.process_time() - before < 0.1
        served.echo.gate.set()
        assert read_until(sock, b"GET /next").index(b"GET /wait") > 0


def test_a_large_answer_to_a_slow_reader_is_whole(served):
    with connect(served) as slow, connect(served) as quick:
        slow.sendall(asked("/large", Connection="close"))
        time.sleep(0.1)
        for number in range(5):
            quick.sendall(asked(f"/{number}"))
            read_until(quick, b"GET /%d" % number)
        data = b""
        while more := slow.recv(2**16):
            data += more
    assert data.partition(b"\r\n\r\n")[2] == LARGE


def test_a_client_that_sends_no_more_still_gets_its_answer(served):
    with connect(served) as sock:
        sock.sendall(asked("/wait"))
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        served.echo.gate.set()
        assert b"GET /wait" in read_until(sock, b"GET /wait")
        assert sock.recv(10) == b""


def test_connections_that_are_gone_leave_nothing_behind(served):
    for _ in range(30):
        with connect(served) as sock:
            sock.sendall(asked("/a"))
            read_until(sock, b"GET /a")
    deadline = time.monotonic() + 60
    while served.server.active_channels and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not served.server.active_channels
    assert len(served.server._map) == 2  # the listening socket and the trigger
    assert len(served.server.events._flags) == 2


def test_idle_connections_are_closed_in_time(served):
    with connect(served) as sock:
        sock.sendall(asked("/a"))
        read_until(sock, b"GET /a")
        time.sleep(0.1)  # the thread that answered notes the time
        for channel in served.server.active_channels.values():
            channel.last_activity -= 1000
        served.server.next_channel_cleanup = 0
        served.server.pull_trigger()
        assert sock.recv(10) == b""


def test_a_hundred_idle_connections_do_not_slow_the_others(served):
    idle = [connect(served) for _ in range(100)]
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    looks = 0
    plain = served.server.events.look

    def counted(found):
        nonlocal looks
        looks += 1
        plain(found)

    client.request("GET", "/")
    client.getresponse().read()
    served.server.events.look = counted
    for _ in range(20):
        client.request("GET", "/")
        assert client.getresponse().read() == b"GET /"
    assert looks < 20 * 10
    client.close()
    for sock in idle:
        sock.close()


def header_of(task_class, headers, *, version="1.1", status="200 OK", length=5, asked_by=None):
    sent = []
    channel = SimpleNamespace(server=SimpleNamespace(adj=SimpleNamespace(ident=None)), write_soon=sent.append)
    request = SimpleNamespace(version=version, headers=asked_by or {})
    task = task_class(channel, request)
    task.response_headers, task.status, task.complete = list(headers), status, True
    task.content_length, task.start_time = length, 1.7e9
    for part in (b"hello",) if length == 5 else (b"hel", b"lo"):
        task.write(part)
    task.finish()
    return b"".join(sent), task.close_on_finish


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "a/b"), ("x-request-ID", "é"), ("Set-Cookie", "b=1"), ("Set-Cookie", "a=2")],
        [("content-length", "5"), ("Zed", "1"), ("Accept-Ranges", "bytes")],
        [("Date", "then"), ("Server", "mine")],
        [("connection", "close")],
        [],
    ],
)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"version": "1.0"},
        {"version": "1.0", "asked_by": {"CONNECTION": "Keep-Alive"}},
        {"asked_by": {"CONNECTION": "Close"}},
        {"status": "304 Not Modified"},
        {"status": "404 Not Found"},
        {"length": None},
    ],
)
def test_answers_are_waitress_s_byte_for_byte(headers, how):
    assert header_of(HttpTask, headers, **how) == header_of(WSGITask, headers, **how)


def test_a_dispatcher_ends_with_its_tasks():
    done, gate = [], threading.Event()
    said = SimpleNamespace(exception=lambda *words: done.append(words[0]), warning=lambda *_words: None)
    dispatcher = Dispatcher(said)
    dispatcher.set_thread_count(1)
    dispatcher.add_task(SimpleNamespace(service=lambda: 1 / 0))
    dispatcher.add_task(SimpleNamespace(service=partial(gate.wait, 10)))
    dispatcher.add_task(
        SimpleNamespace(service=lambda: done.append("never"), cancel=lambda: done.append("cancelled"))
    )
    time.sleep(0.05)
    threading.Timer(0.05, gate.set).start()
    assert dispatcher.shutdown(timeout=5)
    assert done == ["Exception when servicing %r", "cancelled"]
