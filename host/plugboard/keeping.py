"""Small files of JSON that several processes of one data directory change: whole or not at all, and never waiting for ever."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["PATIENCE_S", "held", "written"]

PATIENCE_S = 5.0  # for another process, which needs milliseconds unless it is stopped or its disk is away


@contextmanager
def held(file: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile.

    Raises OSError where the lock cannot be had: TimeoutError where another process keeps it for that long.
    """
    beside = file.with_name(f".{file.name}.lock")
    lock = FileLock(beside)
    try:
        lock.acquire(timeout=patience_s)
    except Timeout as error:
        held_on = f"another process has held {beside} for {patience_s:g} s; end it if it is stopped"
        raise TimeoutError(held_on) from error
    except NotImplementedError as error:  # what filelock says of a disk that knows no locks
        raise OSError(f"{beside} cannot be locked on its disk ({error})") from error
    try:
        yield
    finally:
        lock.release()


def written(file: Path, values: Mapping[str, Any]) -> None:
    """Write JSON in place of what was there, all of it or nothing; raises OSError."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_text(json.dumps(values, indent=1), "utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
