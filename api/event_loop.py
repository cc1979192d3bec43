"""What Waitress' main thread does, at a cost of what happens and not of what is open.

Waitress' own loop asks every connection twice in each turn whether it wants to read or write, and takes a turn
more after every answer. Here the poll object is kept (poll(2)), and a connection is asked only after
something happened to it.
"""

from __future__ import annotations

import queue
import select
import threading
import time
from collections import deque
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel

__all__ = ["CAN_POLL", "Dispatcher", "EventLoop", "LoopChannel"]

CAN_POLL = hasattr(select, "poll")  # Windows has select alone
READ = select.POLLIN | select.POLLPRI if CAN_POLL else 0
WRITE = select.POLLOUT if CAN_POLL else 0
_SERVING = threading.local()  # `channel`: whose request this thread answers


class EventLoop:
    """The sockets of one server; `turn` is the main thread's, `wake` and `forget` anybody's."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._map = server._map  # noqa: SLF001  # no other way to it
        self._pollster = select.poll()
        self._flags: dict[int, int] = {}
        self._touched: deque[Any] = deque()
        self._awake = False
        self._cleanup = server.next_channel_cleanup
        server.pull_trigger = self.wake
        server.events = self
        self._look_everywhere()

    def turn(self, timeout_s: float) -> None:
        """Wait until something happens, at most for `timeout_s` seconds, and see to it."""
        self._awake = False  # before the look: who comes after it wakes this thread again
        while self._touched:
            self.look(self._touched.popleft())
        self.look(self._server)
        if self._server.next_channel_cleanup != self._cleanup:  # the server marked idle connections
            self._cleanup = self._server.next_channel_cleanup
            self._look_everywhere()
        for number, flags in self._pollster.poll(1000 * timeout_s):
            found = self._map.get(number)
            if found is None:  # closed
                self.forget(number)
            elif not (flags & READ and self._parked(found)):
                wasyncore.readwrite(found, flags)
                if flags & WRITE or found.writable() or not isinstance(found, LoopChannel):
                    self.look(found)

    def wake(self) -> None:
        """Let the main thread look at this thread's connection, if there is need; at the server otherwise."""
        channel = getattr(_SERVING, "channel", None)
        if channel is not None:
            if not (channel.parked or channel.writable()):
                return  # it is still watched for the next request
            self._touched.append(channel)
        if not self._awake:
            self._awake = True
            self._server.trigger.pull_trigger()

    def look(self, found: Any) -> None:
        """Watch a socket for what it wants now."""
        number = found._fileno  # noqa: SLF001  # no other way to it
        if number is None:  # closed
            return
        flags = READ if found.readable() else 0
        if found.writable() and not found.accepting:
            flags |= WRITE
        if isinstance(found, LoopChannel):
            found.parked = not flags & READ
        self._watch(number, flags)

    def forget(self, number: int) -> None:
        """Watch a file no more, as it is about to be closed."""
        self._watch(number, 0)

    def _watch(self, number: int, flags: int) -> None:
        if flags == self._flags.get(number, 0):
            return
        if flags:
            self._flags[number] = flags
            self._pollster.register(number, flags)
        elif self._flags.pop(number, 0):
            self._pollster.unregister(number)

    def _parked(self, found: Any) -> bool:
        """Leave unread what comes while a request is answered, until the thread that answers it wakes this one."""
        if found.readable() or not isinstance(found, LoopChannel):
            return False
        found.parked = (
            True  # before the second look: either it finds the answer given, or that thread finds this
        )
        self.look(found)
        return found.parked

    def _look_everywhere(self) -> None:
        for found in list(self._map.values()):
            self.look(found)


class LoopChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection that an EventLoop watches."""

    parked = False  # whether it is not watched for what comes

    def service(self) -> None:
        """Answer one request, known to the loop as this thread's."""
        _SERVING.channel = self
        try:
            super().service()
        finally:
            _SERVING.channel = None

    def write_soon(self, data: Any) -> int:
        """Send what can be sent at once from here, and leave the rest to Waitress' buffers."""
        length = len(data)
        if isinstance(data, bytes) and self.connected and not self.total_outbufs_len:
            with self.outbuf_lock:
                data = data[self._sent(data) :]
        if data:
            super().write_soon(data)
        return length

    def _sent(self, data: bytes) -> int:
        """Send without waiting; gives how many bytes went, none where the connection broke."""
        if self.total_outbufs_len:  # there came something before the lock
            return 0
        try:
            sent: int = self.send(data, do_close=False)
        except OSError:  # Waitress meets it again, and ends the connection
            return 0
        if sent:
            self.last_activity = time.time()
        return sent

    def add_channel(self, map: Any = None) -> None:  # noqa: A002  # Waitress' name
        """Join the server's sockets."""
        super().add_channel(map)
        if (loop := getattr(self.server, "events", None)) is not None:
            self.requests: list[Any] = []  # which Waitress sets a moment later
            loop.look(self)

    def del_channel(self, map: Any = None) -> None:  # noqa: A002  # Waitress' name
        """Leave the server's sockets."""
        number, loop = self._fileno, getattr(self.server, "events", None)
        if number is not None and loop is not None:
            loop.forget(number)
        super().del_channel(map)


class Dispatcher:
    """Waitress' threads, fed by a queue in C; each stands where ThreadedTaskDispatcher's would."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def set_thread_count(self, count: int) -> None:
        """Start threads; they run until `shutdown`."""
        for number in range(len(self._threads), count):
            thread = threading.Thread(target=self._run, name=f"waitress-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def add_task(self, task: Any) -> None:
        """Let the next free thread serve a task."""
        self._tasks.put(task)

    def serve(self, task: Any) -> None:
        """Serve a task here; whatever goes wrong is logged."""
        try:
            task.service()
        except BaseException:
            self._logger.exception("Exception when servicing %r", task)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:  # Waitress' signature
        """Let running tasks end within `timeout` seconds; give whether waiting ones were cancelled."""
        waiting = []
        while cancel_pending and not self._tasks.empty():
            waiting.append(self._tasks.get())
        for task in waiting:
            task.cancel()
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        running = sum(thread.is_alive() for thread in self._threads)
        if running:
            self._logger.warning("%d thread(s) still running", running)
        return bool(waiting)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            self.serve(task)
            task = None  # or its connection would live on until the next one
