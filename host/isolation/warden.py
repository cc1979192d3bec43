"""Ends what an isolated plugin started, once the plugin's process has ended, however it did.

A process that watches another: the kernel ends the plugin's with its host, but not what that one started, and what
has taken a session of its own is out of its host's reach. Imported by its file alone, before the host's package is to be had.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["MARK", "watch"]

MARK = "STRETTO_PLUGIN_PROCESS"  # in the environment of the plugin's process, and of all that it starts
_PASSES = 3  # one that is being ended may start another
_MOST_FILES = 4096


def watch() -> None:
    """Leave a process behind that ends all that this one starts, once it has ended; where Linux can.

    See https://man7.org/linux/man-pages/man2/pidfd_open.2.html.
    """
    if sys.platform != "linux":
        return
    pid = os.getpid()
    try:
        watched = os.pidfd_open(pid)
    except OSError:  # an older kernel
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(watched)
        return
    try:  # twice, so that it is no child of the plugin's, nor of its session
        os.setsid()
        if not os.fork():
            _wait(watched)
            _end(pid)
    finally:
        os._exit(0)


def _wait(watched: int) -> None:
    os.closerange(0, watched)
    os.closerange(watched + 1, _MOST_FILES)
    waiting = select.poll()
    waiting.register(watched, select.POLLIN)
    waiting.poll()


def _end(pid: int) -> None:
    mark = f"{MARK}={os.environ[MARK]}".encode()
    for _ in range(_PASSES):
        there = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
        found = [one for one in there if _is_its(one, pid, mark)]
        for one in found:
            with suppress(OSError):
                os.kill(one, signal.SIGKILL)
        if not found:
            return


def _is_its(one: int, pid: int, mark: bytes) -> bool:
    """Say whether a process is of the session of `pid`, or has its mark."""
    if one == os.getpid():
        return False
    with suppress(OSError):  # it has ended, or is another user's
        return os.getsid(one) == pid or mark in Path(f"/proc/{one}/environ").read_bytes().split(b"\0")
    return False
