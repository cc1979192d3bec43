"""The child process that owns the device: plans come down its pipe, events go up.

It leaves when it is told to, when the pipe ends, or when its parent dies.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from ..contracts.costs import Measured
from ..contracts.events import Failed, Planned, StepFinished
from ..errors import StrettoError
from ..plugboard.watch import DESK
from .messages import Beat, Boot, Cancel, Done, Down, LastWords, Quit, Ready, Run, Up

if TYPE_CHECKING:
    from .host import Host
    from .machine import Machine

__all__ = ["main"]

_BEAT_S = 1.0
FOLLOWED = Planned, StepFinished, Measured  # by the next step's beginning, or the job's end
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
logger = logging.getLogger(__name__)


def main(pipe: Connection, boot: Boot, desk: Any = None) -> None:
    """Serve one parent until it says Quit or goes away; `desk` has a `value` that says which plugin is at work."""
    _bind_to_parent(boot.parent_pid)
    if boot.niceness and hasattr(os, "nice"):
        os.nice(boot.niceness)
    line = _Line(pipe)
    line.open()
    try:
        _serve(line, boot, desk)
    except Exception as error:
        logger.exception("the worker cannot go on")
        line.send(LastWords(message=f"{type(error).__name__}: {error}"))
        sys.exit(1)


def _serve(line: _Line, boot: Boot, desk: Any) -> None:
    from .host import Host
    from .machine import Machine

    DESK.set(desk)
    opened = Host.open(boot.folders, boot.settings, switches=boot.switches)
    # Plugins observe in the parent; what is published here between jobs is nobody's.
    with (
        opened as host,
        host.heard_by(lambda _event: None),
        Machine.open(host, builds_beside=True) as machine,
    ):
        host.guarding.serve(line.send)
        line.send(Ready(device=machine.device))
        while True:
            match line.next():
                case Run() as run:
                    line.send(_done(run, host, machine, line))
                case Quit():
                    return


def _done(run: Run, host: Host, machine: Machine, line: _Line) -> Done:
    from .bench import JobBench
    from .executor import conduct, failure

    uuid = run.job.uuid
    bench = JobBench(
        run.job, host, machine, tell=line.send, cancelled=lambda: line.cancelled == uuid, number=run.number
    )
    try:
        with host.heard_by(bench.publish):
            outcome = conduct(host.board, bench)
    except Exception as error:  # whatever a job does, the worker outlives it
        level = logging.INFO if isinstance(error, StrettoError) else logging.ERROR
        logger.log(level, "job %s failed", uuid, exc_info=True)
        title, message = failure(error)
        return Done(plan=bench.plan, outcome=bench.stamped(Failed(job=uuid, title=title, message=message)))
    return Done(plan=bench.plan, outcome=outcome)


class _Line:
    """The worker's end of the pipe: one thread hears, one beats, any thread sends."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Run | Quit] = queue.SimpleQueue()
        self._held: list[Up] = []
        self.cancelled: str | None = None

    def open(self) -> None:
        """Start hearing and beating; both threads end with the process."""
        threading.Thread(target=self._hear, name="ears", daemon=True).start()
        threading.Thread(target=self._beat, name="heart", daemon=True).start()

    def next(self) -> Run | Quit:
        """Wait for the next thing to do."""
        return self._inbox.get()

    def send(self, message: Up) -> None:
        """Send up; when nobody listens any more, the process has no reason to live.

        What another message follows on the heels is sent with that one.
        """
        with self._lock:
            self._held.append(message)
            if isinstance(message, FOLLOWED):
                return
            sent, self._held = tuple(self._held), []
            try:
                self._pipe.send(sent)
            except OSError:
                os._exit(1)

    def _hear(self) -> None:
        while True:
            try:
                message: Down = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(1)  # even in the middle of a job: its owner is gone
            if isinstance(message, Cancel):
                self.cancelled = message.uuid
            else:
                self._inbox.put(message)

    def _beat(self) -> None:
        while True:
            self.send(Beat())
            time.sleep(_BEAT_S)


def _bind_to_parent(parent_pid: int) -> None:
    """Leave Ctrl-C to the parent, and die with the parent (at once on Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # The kernel watches the parent's thread that spawned us: the dispatcher, which lives as long as
        # the host takes jobs.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it died before the kernel was asked to watch
            os._exit(1)
