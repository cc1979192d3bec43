"""Wakes a thread that waits on pipes; ringing twice wakes it once."""

from __future__ import annotations

import multiprocessing
import threading

__all__ = ["Bell"]


class Bell:
    """One ear, any number of ringers; `ear` is for `multiprocessing.connection.wait`."""

    def __init__(self) -> None:
        self.ear, self._writer = multiprocessing.Pipe(duplex=False)
        self._lock = threading.Lock()
        self._rung = False

    def ring(self) -> None:
        """Wake whoever waits, now or next; nothing after `close`."""
        with self._lock:
            if not self._rung and not self._writer.closed:
                self._rung = True
                self._writer.send_bytes(b"!")

    def hush(self) -> None:
        """Make the bell wait for the next ring."""
        with self._lock:
            if self._rung:
                self.ear.recv_bytes()
                self._rung = False

    def close(self) -> None:
        """Give the pipe back."""
        with self._lock:
            self.ear.close()
            self._writer.close()
