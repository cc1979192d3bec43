"""The host's end of one worker process: hire it, talk to it, hear it, end it."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from ..plugboard.calls import AT_WORK
from .messages import Boot, Down, LastWords, Quit, Ready, Up

__all__ = ["NAME", "WorkerHandle"]

NAME = "stretto-worker"
_QUIT_GRACE_S = 3.0
logger = logging.getLogger(__name__)


class WorkerHandle:
    """One spawned worker; used by one thread. Times are `time.monotonic()`."""

    def __init__(self, boot: Boot) -> None:
        from .worker import main

        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._desk = context.RawArray(ctypes.c_char, AT_WORK + 1)  # which plugin it is in, however it ends
        arguments = theirs, boot, self._desk
        self._process = context.Process(target=main, args=arguments, name=NAME, daemon=True)
        self._process.start()
        theirs.close()  # else the pipe would not end with the worker
        self._ended = False
        self.boot = boot
        self.ready = False
        self.last_words = ""
        self.last_heard = self.idle_since = time.monotonic()
        logger.info("started worker process %s", self._process.pid)

    @property
    def pid(self) -> int:
        """Give the process id."""
        return self._process.pid or 0

    @property
    def dead(self) -> bool:
        """Say whether the process or its pipe has ended."""
        return self._ended or not self._process.is_alive()

    @property
    def at_work(self) -> tuple[str, str, str] | None:
        """Name the plugin that the worker is in, the hook, and what it is doing; None for the host's own code."""
        words = bytes(self._desk.value).decode("utf-8", "replace").split("\n")
        return (words[0], words[1], words[2]) if len(words) == 3 else None  # noqa: PLR2004 - those three

    @property
    def crashed(self) -> bool:
        """Say that the process ended by itself: nobody killed it, as a full machine or a person would.

        One that ends well in the middle of a job was ended by what ran in it.
        """
        return self._process.exitcode not in (None, -int(signal.SIGKILL), -int(signal.SIGTERM))

    def waitables(self) -> list[Any]:
        """Give what `multiprocessing.connection.wait` wakes on: a message, or the end."""
        return [self._process.sentinel] if self._ended else [self._pipe, self._process.sentinel]

    def send(self, message: Down) -> None:
        """Put a message down the pipe; a broken pipe marks the worker dead."""
        try:
            self._pipe.send(message)
        except OSError:
            self._ended = True

    def messages(self) -> Iterator[Up]:
        """Take what has come up the pipe; readiness, heartbeats and last words are noted on the way."""
        while not self._ended:
            try:
                if not self._pipe.poll():
                    return
                sent: tuple[Up, ...] = self._pipe.recv()
            except (EOFError, OSError):
                self._ended = True
                return
            self.last_heard = time.monotonic()
            for message in sent:
                if isinstance(message, Ready):
                    self.ready = True
                elif isinstance(message, LastWords):
                    self.last_words = message.message
                yield message

    def quit(self) -> None:
        """Ask the worker to leave, and make it after three seconds."""
        self.send(Quit())
        self._process.join(_QUIT_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the process whatever it does; what is left in the pipe can still be read."""
        self._process.kill()
        self._process.join(_QUIT_GRACE_S)

    def close(self) -> None:
        """Kill the process if need be and give the pipe back."""
        self.kill()
        self._ended = True
        self._pipe.close()

    def epitaph(self) -> str:
        """Say how the process ended: by which signal, or with which exit code, and its last words."""
        self._process.join(_QUIT_GRACE_S)
        words = f": {self.last_words}" if self.last_words else ""
        if self.at_work is not None:
            words += f", in {self.at_work[2]} of the plugin '{self.at_work[0]}'"
        code = self._process.exitcode
        if code is None:
            return f"it closed its pipe{words}"
        if code < 0 and os.name == "posix":
            return f"ended by {signal.Signals(-code).name}{words}"
        return f"exit code {code}{words}"
