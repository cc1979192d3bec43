"""Tells an isolated plugin of events, beside the host's work: who tells of them does not wait for the plugin."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress

from ..contracts.events import Event
from ..errors import PluginError, StrettoError
from .remote import Remote
from .values import event_json

__all__ = ["Teller"]

_MOST = 1000  # events that wait
_GRACE_S = 5.0  # for those that wait when the host stops
logger = logging.getLogger(__name__)


class Teller:
    """Sends events in their order from a thread of its own.

    What an observer raises is raised in the next `tell`, so that it is logged and counted as if it were told at once.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._waiting: queue.Queue[Event | None] = queue.Queue(_MOST)
        self._failure: StrettoError | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def tell(self, event: Event) -> None:
        """Have the plugin told; raises what an earlier event came to, PluginError when too many wait or it is closed."""
        with self._lock:
            if self._closed:
                raise PluginError(
                    f"the plugin '{self._remote.name}' is not told of {type(event).__name__}: the host has closed it"
                )
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send, name=f"events to {self._remote.name}", daemon=True
                )
                self._thread.start()
            try:
                self._waiting.put_nowait(event)
            except queue.Full:
                raise PluginError(
                    f"the plugin '{self._remote.name}' observes too slowly: {_MOST} events wait, and this one is left "
                    "out"
                ) from None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Tell what waits, for five seconds at most; what is left out is logged."""
        with self._lock:
            self._closed = True
        if self._thread is None:
            return
        deadline = time.monotonic() + _GRACE_S
        with suppress(queue.Full):
            self._waiting.put(None, timeout=_GRACE_S)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._drop()
        if self._failure is not None:
            logger.error("observe: %s", self._failure)
        self._thread = None

    def _drop(self) -> None:
        """Leave out what waits, and say how much that is."""
        left = 0
        with suppress(queue.Empty):
            while True:
                left += self._waiting.get_nowait() is not None
        self._waiting.put(None)
        logger.warning("the plugin '%s' was not told of %d events", self._remote.name, left)

    def _send(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._remote.call("observe", event=event_json(event))
            except StrettoError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - the thread tells the next event all the same
                self._failure = PluginError(
                    f"the plugin '{self._remote.name}' was not told of {type(event).__name__}: "
                    f"{type(error).__name__}: {error}"
                )
