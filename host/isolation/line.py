"""One end of the pipe between the host and an isolated plugin: messages in turn, each with its length before it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import PluginError
from .values import packed, unpacked

__all__ = ["Line"]

_LENGTH = struct.Struct("!Q")
_MOST_BYTES = 256 * 2**20  # a message; pictures are not in it
_SLICE_S = 0.1  # between two looks at the other end while it is waited for
_PART_BYTES = 2**20


class Line:
    """Sends and receives over a stream socket; used by one thread at a time.

    `patience` is called ten times a second while the other end keeps it waiting, and raises to give up.
    """

    def __init__(self, end: socket.socket, most_bytes: int = _MOST_BYTES) -> None:
        self._end = end
        self._most_bytes = most_bytes  # of a message that comes

    def send(self, message: Mapping[str, Any], patience: Callable[[], None] | None = None) -> None:
        """Send a message; raises OSError when the other end is gone."""
        self.send_packed(packed(message), patience)

    def send_packed(self, body: bytes, patience: Callable[[], None] | None = None) -> None:
        """Send a message that is packed already; raises OSError when the other end is gone."""
        rest = memoryview(_LENGTH.pack(len(body)) + body)
        self._end.settimeout(None if patience is None else _SLICE_S)
        while rest:
            try:
                rest = rest[self._end.send(rest) :]
            except TimeoutError:
                _wait(patience)

    def receive(self, patience: Callable[[], None] | None = None) -> dict[str, Any]:
        """Wait for a message; raises EOFError or OSError when the other end is gone, PluginError for what is none."""
        self._end.settimeout(None if patience is None else _SLICE_S)
        (count,) = _LENGTH.unpack(self._exactly(_LENGTH.size, patience))
        if count > self._most_bytes:
            raise PluginError(f"sent a message of {count} bytes; at most {self._most_bytes} are read")
        return unpacked(self._exactly(count, patience))

    def close(self) -> None:
        """Let go of this end."""
        self._end.close()

    def _exactly(self, count: int, patience: Callable[[], None] | None) -> bytes:
        got = bytearray()
        while len(got) < count:
            try:
                part = self._end.recv(min(count - len(got), _PART_BYTES))
            except TimeoutError:
                _wait(patience)
                continue
            if not part:
                raise EOFError("the other end of the pipe is closed")
            got += part
        return bytes(got)


def _wait(patience: Callable[[], None] | None) -> None:
    if patience is not None:
        patience()
