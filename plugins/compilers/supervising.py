"""Watches the process that builds an engine: passes on its progress, bounds its memory, and ends it with the caller.

A builder in a process of its own can be stopped at any moment, gives all memory back, and takes nothing down
with it where it runs out of it or crashes.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
from stretto.host import EngineBuildError

__all__ = ["free_bytes", "supervised"]

_TICK_S = 0.25  # between two looks at the memory, and at whether the build is still wanted
_SHARE = 0.9  # of the free memory that a build may take
_WORDS = 400  # characters of the library's own that are passed on
_FULL = re.compile(r"bad_alloc|out ?of ?memory|MemoryError|cannot allocate|allocation fail", re.IGNORECASE)
_GIB = 2**30
_KILLED = -9  # by SIGKILL, see signal(7)
_ELSEWHERE = (
    "build on a machine with more memory and bring the engine over with `stretto engines export`, "
    "or ask for a smaller size"
)
Report = Callable[[str, float | None], None]


def supervised(
    module: str,
    order: Mapping[str, Any],
    report: Report,
    *,
    environment: Mapping[str, str] | None = None,
    limit_bytes: int | None = None,
) -> None:
    """Have a process that runs `module` do what `order` says; whatever `report` raises ends it at once.

    `limit_bytes` is how much memory it may take, nine tenths of what is free if nothing is said. Raises
    EngineBuildError with the library's own words.
    """
    limit = int(free_bytes() * _SHARE) if limit_bytes is None else limit_bytes
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        with _child(module, order, environment or {}, log) as process:
            _follow(process, report, limit)
            code = process.wait()
        if code:
            log.seek(0)
            raise EngineBuildError(_why(code, log.read(), limit))


def free_bytes() -> int:
    """Give the memory that is free, or what a control group leaves of it."""
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        taken = int((group / "memory.current").read_text())
    except OSError:  # not Linux, or no control groups
        return free
    return max(0, min(free, int(limit) - taken)) if limit.isdecimal() else free


@contextmanager
def _child(
    module: str, order: Mapping[str, Any], environment: Mapping[str, str], log: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own module, by our own Python
        [sys.executable, "-m", module],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        encoding="utf-8",
    )
    try:
        # it lives as long as its input stays open
        print(json.dumps(order), file=process.stdin, flush=True)
        yield process
    finally:
        process.kill()
        process.communicate()


def _follow(process: subprocess.Popen[str], report: Report, limit_bytes: int) -> None:
    """Pass on what the child says until it says no more."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    said: tuple[str, float | None] = ("start the builder", None)
    while True:
        try:
            line = lines.get(timeout=_TICK_S)
        except queue.Empty:
            line = ""
        if line is None:
            return
        if line:
            told = json.loads(line)
            said = (told["phase"], told["share"]) if "phase" in told else said
        report(*said)
        _check_memory(process.pid, limit_bytes)


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _check_memory(pid: int, limit_bytes: int) -> None:
    try:
        builder = psutil.Process(pid)
        family = [builder, *builder.children(recursive=True)]  # compilers of C++, say
    except psutil.NoSuchProcess:  # it ended just now, and its code says how
        return
    if sum(_taken_bytes(process) for process in family) > limit_bytes:
        raise EngineBuildError(_full(limit_bytes))


def _taken_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _full(limit_bytes: int) -> str:
    return f"the builder needs more than the {limit_bytes / _GIB:.1f} GB of memory that it may take; {_ELSEWHERE}"


def _why(code: int, log: str, limit_bytes: int) -> str:
    """Say in one sentence why the builder ended: by its own words, or by the signal that ended it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    own = [line.removeprefix("[E]").strip() for line in lines if line.startswith("[E]")]
    said = (own or lines or [""])[0 if own else -1][:_WORDS]
    if code == _KILLED and not own:
        return f"the builder was killed, as the kernel does where memory runs out; {_ELSEWHERE}"
    if code == _KILLED or _FULL.search(log):
        return _full(limit_bytes) + (f" (it said: {said})" if own else "")
    if code < 0 and not own:
        return f"the builder was ended by signal {-code}{f', and said: {said}' if said else ''}"
    return f"the builder says: {said}"
