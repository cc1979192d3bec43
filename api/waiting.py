"""Waiting for an invocation inside its own request: `synchronous` in the body of `POST /api/invoke`."""

from __future__ import annotations

import threading
import time

from stretto.host.contracts.ports import JobStatus
from stretto.host.errors import Fault

from .entities import Records
from .fields import shown
from .history import InvocationRow, find

__all__ = ["WaitingRoom", "read_synchronous"]

FIRST_S, LAST_S = 0.02, 0.25  # between looks at the row
MEANT = {True: True, False: False, None: False, "true": True, "false": False}


def read_synchronous(body: dict[str, object]) -> tuple[bool, list[Fault]]:
    """Take `synchronous` out of a body: what it says, and what is wrong with it."""
    value = body.pop("synchronous", None)
    if isinstance(value, (bool, str, type(None))) and value in MEANT:
        return MEANT[value], []
    return False, [Fault(field="synchronous", message=f"{shown(value)} is not true or false")]


class WaitingRoom:
    """Some seats, so that those who wait leave threads to those who only ask."""

    def __init__(self, seats: int) -> None:
        self._seats = threading.Semaphore(seats)
        self._closing = threading.Event()

    def close(self) -> None:
        """Send everybody home with what there is; idempotent."""
        self._closing.set()

    def row(self, records: Records, uuid: str, limit_s: float) -> InvocationRow:
        """Give an invocation once it is over, or as it is after `limit_s` or where no seat is free.

        Raises NotFoundError when it is deleted meanwhile.
        """
        deadline, pause_s = time.monotonic() + limit_s, FIRST_S
        seated = self._seats.acquire(blocking=False)
        try:
            while True:
                row = find(records, uuid, None)
                left_s = deadline - time.monotonic()
                over = row.status in (JobStatus.COMPLETED, JobStatus.ERROR)
                if over or not seated or left_s <= 0 or self._closing.wait(min(pause_s, left_s)):
                    return row
                pause_s = min(LAST_S, pause_s * 1.5)
        finally:
            if seated:
                self._seats.release()
