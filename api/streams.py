"""Events as a stream of text (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator

from stretto.host.contracts.ports import JobStatus
from stretto.host.errors import UnavailableError
from stretto.host.runtime.progress import Progress

from .entities import Records
from .event_log import EventLog, Told, told
from .history import InvocationRow

__all__ = ["EVENTS_TYPE", "Streams"]

EVENTS_TYPE = "text/event-stream"
HEARTBEAT_S = 10.0  # a comment, by which it shows that nobody listens any more
RETRY_S = 2
FIRST = f"retry: {RETRY_S * 1000}\n\n".encode()
HEARTBEAT = b":\n\n"


class Streams:
    """The streams of a server, so that there are never more than it allows."""

    def __init__(self, log: EventLog, records: Records) -> None:
        self.log = log
        self.records = records
        self._open = 0
        self._lock = threading.Lock()

    def open(self, row: InvocationRow, after: int, *, previews: bool, limit: int) -> _Stream:
        """Begin a stream of an invocation's events after a number; UnavailableError where `limit` are open."""
        self._take(row.uuid, limit)
        return _Stream(self, row, after, previews=previews)

    def open_build(self, row: Callable[[], InvocationRow], after: int, *, limit: int) -> _Stream:
        """Begin a stream of a build, whose events are kept nowhere: those to come, and in any case the last one."""
        self._take(row().uuid, limit)
        return _BuildStream(self, row, after)

    def _take(self, uuid: str, limit: int) -> None:
        with self._lock:
            if self._open >= limit:
                raise UnavailableError(
                    f"{limit} streams of events are open (setting max_event_streams); poll "
                    f"/api/invocation/{uuid} instead, or come again",
                    retry_after_s=5,
                )
            self._open += 1

    @property
    def count(self) -> int:
        """Say how many are open."""
        return self._open

    def ended(self) -> None:
        """Count one less."""
        with self._lock:
            self._open -= 1


class _Stream:
    """The body of one answer; `close` may be called at any time, and again."""

    def __init__(self, streams: Streams, row: InvocationRow, after: int, *, previews: bool) -> None:
        self._streams = streams
        self._row = row
        self._after = after
        self._previews = previews
        self._box = streams.log.watch(row.uuid)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield FIRST
        before = self._streams.log.after(self._row.uuid, self._after)
        self._streams.records.close()  # this thread's connection; from here on events come by the queue
        yield from map(self._text, before)
        if before and before[-1].last:
            return
        # Where the last event is not among them, it is written now; one that was there stays as it is.
        if self._after and not before and self._ended():
            return
        self._streams.log.settle(self._row)
        yield from self._coming(before[-1].number if before else self._after)

    def _ended(self) -> bool:
        known = self._streams.log.after(self._row.uuid, 0)
        self._streams.records.close()
        return bool(known) and known[-1].last

    def _coming(self, number: int) -> Iterator[bytes]:
        while True:
            try:
                event = self._box.get(timeout=HEARTBEAT_S)
            except queue.Empty:
                yield HEARTBEAT
                continue
            if event is None:
                return
            if event.number > number:
                yield self._text(event)
            if event.last:
                return

    def _text(self, event: Told) -> bytes:
        data = json.loads(event.data)
        if not self._previews:
            del data["previews"]
        text = json.dumps(data, ensure_ascii=False)
        return f"id: {event.number}\nevent: {event.name}\ndata: {text}\n\n".encode()

    def close(self) -> None:
        """Give the place back."""
        if not self._closed:
            self._closed = True
            self._streams.log.leave(self._row.uuid, self._box)
            self._streams.ended()


class _BuildStream(_Stream):
    """The body of an answer about a build; who comes again hears its last event again."""

    def __init__(self, streams: Streams, row: Callable[[], InvocationRow], after: int) -> None:
        super().__init__(streams, row(), after, previews=False)
        self._now = row

    def __iter__(self) -> Iterator[bytes]:
        yield FIRST
        self._streams.records.close()
        now = self._now()  # looked at while watching: what is not over yet ends in the queue
        if now.finished is None:
            yield from self._coming(self._after)
            return
        progress = Progress(
            uuid=now.uuid, status=now.status, duration=now.finished - now.started, message=now.error
        )
        name = "error" if now.status is JobStatus.ERROR else "completed"
        yield self._text(Told(now.uuid, self._after + 1, name, json.dumps(told(progress))))
