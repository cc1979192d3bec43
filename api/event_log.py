"""What happened to invocations, numbered and durable, and handed to who watches once it is written.

One thread writes, so that numbers have no gaps; progress that comes faster than it writes becomes one event.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from pony.orm import db_session
from stretto.host.contracts.events import (
    Event,
    Failed,
    Finished,
    Planned,
    Queued,
    Started,
    StepProgress,
    StepStarted,
)
from stretto.host.contracts.ports import JobStatus
from stretto.host.runtime.progress import Progress, advanced

from .entities import Records
from .history import InvocationRow
from .invocations import pictures, remaining_s

__all__ = ["EventLog", "Told", "told"]

_log = logging.getLogger(__name__)

NAMES: dict[type[Event], str] = {
    Queued: "queued",
    Started: "started",
    Planned: "progress",
    StepStarted: "progress",
    StepProgress: "progress",
    Finished: "completed",
    Failed: "error",
}
OVER = ("completed", "error")
GATHER_S = 0.1  # how long progress is gathered into one event
AGAIN_S = 1.0  # until the next try where the database could not be written
JOBS = 1000  # whose progress is remembered here, and whose events before the last are kept


@dataclass(frozen=True, slots=True)
class Told:
    """One event of an invocation: `number` counts from 1 without gaps, `data` is JSON text."""

    uuid: str
    number: int
    name: str
    data: str

    @property
    def last(self) -> bool:
        """Say whether nothing comes after it."""
        return self.name in OVER


def told(progress: Progress) -> dict[str, object]:
    """Give the data of an event: the numbers that pollers see, and how many seconds are left."""
    step, total = progress.step, progress.total
    return {
        "uuid": progress.uuid,
        "status": str(progress.status),
        "progress": 1 if progress.status is JobStatus.COMPLETED else step / total if step and total else None,
        "step": step,
        "total": total,
        "rate": progress.rate,
        "remaining": remaining_s(progress),
        "duration": round(progress.duration, 6),
        "task": progress.task or None,
        "images": pictures(progress.images) or None,
        "previews": list(progress.intermediates),
        "message": progress.message,
    }


class EventLog:
    """The table of events; `hear` and `watch` may be called from any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._known: OrderedDict[str, tuple[Progress, int]] = OrderedDict()
        self._watchers: dict[str, list[queue.SimpleQueue[Told | None]]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what was heard, and let all who watch go; idempotent."""
        with self._lock:
            self._closing.set()
            boxes = [box for found in self._watchers.values() for box in found]
        for box in boxes:
            box.put(None)
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def hear(self, event: Event) -> None:
        """Take an event in, to be written in a moment."""
        if type(event) in NAMES:
            self._inbox.put(event)

    def settle(self, row: InvocationRow) -> None:
        """See to it that an invocation that is over has an event that says so, whatever was lost before."""
        if row.finished is None:
            return
        if row.status is JobStatus.ERROR:
            self._inbox.put(Failed(job=row.uuid, at=row.finished, message=row.error or ""))
        else:
            self._inbox.put(Finished(job=row.uuid, at=row.finished, images=row.images))

    def watch(self, uuid: str) -> queue.SimpleQueue[Told | None]:
        """Give a queue that gets every event of an invocation written from now on; None ends it."""
        box: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        with self._lock:
            self._watchers.setdefault(uuid, []).append(box)
            if self._closing.is_set():
                box.put(None)
        return box

    def leave(self, uuid: str, box: queue.SimpleQueue[Told | None]) -> None:
        """Stop filling a queue that `watch` gave."""
        with self._lock:
            found = [one for one in self._watchers.get(uuid, []) if one is not box]
            if found:
                self._watchers[uuid] = found
            else:
                self._watchers.pop(uuid, None)

    def after(self, uuid: str, number: int) -> list[Told]:
        """Give the events of an invocation after a number, in order."""
        with db_session:
            rows = self._records.database.select(
                "SELECT uuid, number, name, data FROM event WHERE uuid = $uuid AND number > $number "
                "ORDER BY number",
                {},
                {"uuid": uuid, "number": number},
            )
        return [Told(*row) for row in rows]

    # -- the writing thread --------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            heard = [self._inbox.get()]
            if heard[0] is not None:
                self._closing.wait(GATHER_S)
            while not self._inbox.empty():
                heard.append(self._inbox.get())
            going = None not in heard
            self._keep([event for event in heard if event is not None])
        self._records.database.disconnect()

    def _keep(self, heard: Sequence[Event]) -> None:
        """Write events, again and again until it works or the server ends, and hand them on."""
        while heard:
            try:
                with db_session(immediate=True):
                    written = self._write(heard)
            except Exception:  # noqa: BLE001  # whatever it is, it is logged and tried again
                _log.exception("%d events could not be written", len(heard))
                self._known.clear()
                if self._closing.wait(AGAIN_S):
                    return
                continue
            self._hand_on(written)
            return

    def _write(self, heard: Sequence[Event]) -> list[Told]:
        rows: list[Told] = []
        for event in heard:
            row = self._row(event)
            if row is None:
                continue
            if rows and row.name == rows[-1].name == "progress" and row.uuid == rows[-1].uuid:
                row = replace(row, number=rows.pop().number)
                self._known[row.uuid] = (self._known[row.uuid][0], row.number)
            rows.append(row)
        for row in rows:
            values = asdict(row)
            self._records.database.execute(
                "INSERT INTO event (uuid, number, name, data) SELECT $uuid, $number, $name, $data "
                "WHERE EXISTS (SELECT 1 FROM invocation WHERE uuid = $uuid)",
                {},
                values,
            )
            if row.last:
                self._records.database.execute(
                    "DELETE FROM event WHERE name NOT IN ('completed', 'error') AND uuid = "
                    "(SELECT uuid FROM invocation WHERE id = (SELECT id FROM invocation WHERE uuid = $uuid) - $jobs)",
                    {},
                    {**values, "jobs": JOBS},
                )
        return rows

    def _row(self, event: Event) -> Told | None:
        """Number an event and fold it into its job's progress; None after the last one."""
        known, number = self._known.get(event.job) or self._found(event.job)
        if number < 0:
            return None
        progress = advanced(known, event)
        if progress.status is JobStatus.PROCESSING and progress.started is not None:
            progress = replace(progress, duration=max(0.0, (event.at or time.time()) - progress.started))
        row = Told(event.job, number + 1, NAMES[type(event)], json.dumps(told(progress), ensure_ascii=False))
        self._known[event.job] = (progress, -1 if row.last else row.number)
        self._known.move_to_end(event.job)
        while len(self._known) > JOBS:
            self._known.popitem(last=False)
        return row

    def _found(self, uuid: str) -> tuple[Progress, int]:
        rows = self._records.database.select(
            "SELECT number, name FROM event WHERE uuid = $uuid ORDER BY number DESC LIMIT 1",
            {},
            {"uuid": uuid},
        )
        number = -1 if rows and rows[0][1] in OVER else rows[0][0] if rows else 0
        return Progress(uuid=uuid), number

    def _hand_on(self, written: Iterable[Told]) -> None:
        with self._lock:
            for row in written:
                for box in self._watchers.get(row.uuid, ()):
                    box.put(row)
