"""Tells plugins of events on a thread of its own, in their order, so that no job or request waits for an observer."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ..contracts.events import Event

__all__ = ["Audience"]

MOST = 10_000  # events that wait for a slow observer; what comes after is not told
PATIENCE_S = 5.0  # at the end
logger = logging.getLogger(__name__)


class Audience:
    """Who observes, behind one queue; until `start`, and after `close`, whoever tells waits for them."""

    def __init__(self, tell: Callable[[Event], None], most: int = MOST) -> None:
        self._tell = tell
        self._events: queue.Queue[Event | None] = queue.Queue(most)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._missed = 0
        self._left = False  # one of them would not come to an end

    def start(self) -> None:
        """Let nobody wait from now on."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audience", daemon=True)
                self._thread.start()

    def hear(self, event: Event) -> None:
        """Have an event told; where too many wait, it is not, which is logged."""
        with self._lock:
            if self._thread is not None:
                self._queue(event)
                return
        if not self._left:
            self._tell(event)

    def close(self) -> None:
        """Wait until all is told, five seconds at most; idempotent."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return
        try:
            self._events.put(None, timeout=PATIENCE_S)
            thread.join(PATIENCE_S)
        except queue.Full:
            logger.debug("what waits for observers is full at the end")
        if thread.is_alive():
            self._left = True
            logger.warning(
                "a plugin is still in observe; %d events that came after are told to none",
                self._events.qsize(),
            )

    def _queue(self, event: Event) -> None:
        if self._events.full():  # who puts anything in holds the lock
            if not self._missed:
                logger.error("%d events wait for a plugin's observe; more are not told", self._events.maxsize)
            self._missed += 1
            return
        self._events.put_nowait(event)
        if self._missed:
            logger.error("%d events were not told to observers, for too many waited", self._missed)
            self._missed = 0

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self._tell(event)
            except Exception:
                logger.exception("an event of job %s could not be told", event.job)
