"""One lock for each engine, by its digest, between threads and processes; it goes with the process that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .faults import BuildStoppedError, BusyError

__all__ = ["LOCKS", "held"]

LOCKS = ".locks"  # the folder of the lock files, beside the engines; they are empty and stay
_POLL_S = 0.1


@contextmanager
def held(
    root: Path, digest: str, *, timeout_s: float | None = None, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Have an engine to ourselves while this lasts.

    Waits for `timeout_s` seconds, for ever with None. Raises BusyError when that is over, BuildStoppedError once
    `cancelled` says so, and OSError where no lock can be made (a folder that may only be read).
    """
    folder = root / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f".{digest}", timeout=-1 if timeout_s is None else timeout_s, thread_local=False)
    try:
        lock.acquire(poll_interval=_POLL_S, cancel_check=cancelled)
    except Timeout as error:
        if cancelled():
            raise BuildStoppedError(f"the wait for the engine {digest[:12]} was stopped") from error
        raise BusyError(
            f"the engine {digest[:12]} is in the hands of another process for longer than {timeout_s} s; try again"
        ) from error
    try:
        yield
    finally:
        lock.release()
