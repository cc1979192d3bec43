"""One process of an isolated plugin, from its start to its end, and the limits that a call has in it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import logging
import os
import secrets
import select
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PluginError
from ..settings import Settings
from .line import Line
from .pictures import given, put, segment
from .values import error_from, packed
from .warden import MARK

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Launch", "Process", "RaisedThereError", "signal_name"]

# Taken from the host's installation where the environment has none of its own: what `import stretto.host` needs,
# and what pictures are.
_SHARED = ("stretto.host", "stretto.trt_cache", "annotated_types", "pluggy", "PIL")
_GRACE_S = 2.0  # for the end of a process, and for what it printed last
_LOOK_S = 2.0  # between two looks at the memory of a process that nobody calls
_ANSWER_BYTES = 16 * 2**20  # a plan has some KB; Python takes up to thirty times as much to read them
_LINE_BYTES = 16 * 2**10  # of what it prints
_LINE_CHARACTERS = 1000  # of which are logged
_LAST_LINES = 20
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a plugin's process is started with, and what it may take for each call."""

    name: str
    python: Path
    boot: Mapping[str, Any]
    settings: Callable[[], Settings]  # the host's, now; `boot` has those of the beginning
    time_limit_s: float
    memory_limit_bytes: Callable[[], int]  # asked for once


class RaisedThereError(Exception):
    """What the plugin raised that is none of our errors: the cause of the PluginError that says so."""


class _EndedError(Exception):
    """The process must end, or has; the words say why."""


class Process:
    """A started process; used by one thread at a time, watched and listened to by a thread of its own."""

    def __init__(self, launch: Launch) -> None:
        ours, theirs = socket.socketpair()
        self._launch = launch
        self._line = Line(ours, _ANSWER_BYTES)
        self._memory = segment()
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._why: str | None = None
        self._most_bytes = launch.memory_limit_bytes()
        self._turns = itertools.count()  # of messages; each answer has its own
        self._running = threading.Event()
        self._failed: OSError | None = None
        with theirs:
            # The kernel ends the process with the thread that started it, so that thread stays.
            self._keeper = threading.Thread(
                target=self._keep, args=(theirs,), name=f"keeper of {launch.name}", daemon=True
            )
            self._keeper.start()
            self._running.wait()
        if self._failed is not None:
            self.kill()
            raise PluginError(f"the plugin '{launch.name}' has no process: {self._failed}") from self._failed

    def boot(self) -> None:
        """Have the plugin imported; raises PluginError when that fails, hangs or takes too much memory."""
        self._exchange("its start", self._launch.boot, _nothing)

    def call(self, what: str, said: Mapping[str, Any], image: Image | None, check: Callable[[], None]) -> Any:
        """Have a call answered; `check` is called ten times a second meanwhile, and raises to give up.

        Raises what the plugin raised, as PluginError unless it is ours. After any other error that is raised here
        the process is of no use: `alive` is false.
        """
        message = {"call": what, **said}
        if image is not None:
            message["image"] = put(self._memory, image)
        return self._exchange(what, message, check)

    def picture(self, said: Any, what: str) -> Image:
        """Read the picture that an answer speaks of."""
        name = self._launch.name
        if not isinstance(said, Mapping):
            raise PluginError(f"the plugin '{name}' gave no picture in {what}")
        return given(self._memory, said, f"the plugin '{name}'", self._most_bytes)

    @property
    def pid(self) -> int:
        """Give the process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Say whether the process can be called."""
        return self._why is None and self._popen.poll() is None

    def memory_bytes(self, *, alone: bool = False) -> int:
        """Give what the process has in RAM (resident set size), and in the memory of pictures.

        Unless it is asked for alone, those that it started are with it.
        """
        import psutil

        total = 0
        with suppress(OSError):  # it has just been closed
            total = os.fstat(self._memory).st_blocks * 512
        with suppress(psutil.Error):
            process = psutil.Process(self._popen.pid)
            for one in (process,) if alone else (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    total += one.memory_info().rss
        return total

    def quit(self) -> None:
        """Tell the plugin that the host stops, give it two seconds, and end what is left; idempotent."""
        if self.alive:
            deadline = time.monotonic() + _GRACE_S
            with suppress(OSError, EOFError, PluginError, _EndedError):
                self._line.send({"call": "stop", "turn": next(self._turns)}, lambda: _until(deadline))
                self._line.receive(lambda: _until(deadline))
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(max(0.0, deadline - time.monotonic()))
        self.kill()

    def abort(self) -> None:
        """End the process from another thread than the one that uses it, which hears of it in its call."""
        self._why = "was ended, for the host stops"
        self._popen.kill()

    def kill(self) -> None:
        """End the process and all that it started, whatever they do; idempotent."""
        if self._failed is None:
            with suppress(ProcessLookupError, PermissionError):  # PermissionError is macOS' word for a zombie
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
            self._keeper.join(_GRACE_S)
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1
        self._line.close()

    # -- calls ---------------------------------------------------------------------------------

    def _exchange(self, what: str, message: Mapping[str, Any], check: Callable[[], None]) -> Any:
        turn = next(self._turns)
        body = packed({**message, "turn": turn})  # what cannot be sent is the caller's, and costs no process
        patience = self._patience(what, check)
        try:
            self._line.send_packed(body, patience)
            reply = self._line.receive(patience)
            _check_turn(reply, turn, what)
            self._check_memory(what, alone=True)  # 0.1 ms; with those that it started 0.6 ms
        except (EOFError, OSError, _EndedError) as error:
            why = str(error) if isinstance(error, _EndedError) else self._epitaph(what)
            self._why = why
            self.kill()
            raise PluginError(f"the plugin '{self._launch.name}' {why}") from None
        except PluginError as error:  # what it sent is no message
            self._why = str(error)
            self.kill()
            raise PluginError(f"the plugin '{self._launch.name}' {error}") from None
        except BaseException:  # stopped while it is at work: the next answer would be this call's
            self._why = "was stopped"
            self.kill()
            raise
        if reply.get("spent"):
            self._why = "has no files, threads or memory left"
            self.kill()
        return self._answer(what, reply)

    def _answer(self, what: str, reply: Mapping[str, Any]) -> Any:
        """Give the answer in a reply, or raise what the plugin raised: our errors as they are, but with its name."""
        where = f"the plugin '{self._launch.name}' raised in {what}"
        ended = "; its process was ended, and the next call starts it anew" if reply.get("spent") else ""
        if isinstance(reply.get("error"), Mapping):
            error = error_from(reply["error"])
            raise PluginError(f"{where}: {error}{ended}") if type(error) is PluginError else error
        if (words := reply.get("raised")) is not None:
            raise PluginError(f"{where}: {words}{ended}") from RaisedThereError(words)
        return reply.get("answer")

    def _patience(self, what: str, check: Callable[[], None]) -> Callable[[], None]:
        limit_s = self._launch.time_limit_s
        deadline = time.monotonic() + limit_s

        def look() -> None:
            check()
            self._check_memory(what)
            if self._popen.poll() is not None:
                raise EOFError
            if time.monotonic() > deadline:
                raise _EndedError(
                    f"did not come to an end of {what} within its time_limit_s of {limit_s:g} s, and its process was "
                    f"ended; raise time_limit_s in [plugins.{self._launch.name}] if it needs longer"
                )

        return look

    def _check_memory(self, what: str, *, alone: bool = False) -> None:
        took, most = self.memory_bytes(alone=alone), self._most_bytes
        if took > most:
            raise _EndedError(
                f"took {_mib(took)} of memory in {what}, more than its memory_limit_bytes of {most} ({_mib(most)}), and "
                f"its process was ended; raise memory_limit_bytes in [plugins.{self._launch.name}] if it needs more"
            )

    def _epitaph(self, what: str) -> str:
        """Say how the process ended: by which signal, or with which exit code, and what it printed last."""
        if self._why is not None:  # its keeper ended it
            return self._why
        try:
            code = self._popen.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return f"closed its pipe in {what}, and its process was ended"
        if code < 0:
            return f"was ended by {signal_name(-code)} in {what}; the next call starts its process anew"
        self._keeper.join(_GRACE_S)
        words = f" (it printed last: {self._last[-1][:300]})" if self._last else ""
        return f"left with exit code {code} in {what}{words}; the next call starts its process anew"

    # -- the keeper's thread -------------------------------------------------------------------

    def _keep(self, theirs: socket.socket) -> None:
        """Start the process, log what it prints, and watch its memory until it ends."""
        try:
            self._popen = self._started(theirs.fileno())
        except OSError as error:
            self._failed = error
            return
        finally:
            self._running.set()
        output, rest = self._popen.stdout, b""
        if output is None:
            return
        looked = time.monotonic()
        with output:
            while True:
                ready, _, _ = select.select([output], [], [], _LOOK_S)
                if time.monotonic() - looked >= _LOOK_S:  # however much it prints
                    looked = time.monotonic()
                    self._look()
                if not ready:
                    continue
                part = os.read(output.fileno(), _LINE_BYTES)
                rest = self._log(rest + part, last=not part)
                if not part:
                    break
        while self._ends_later():  # it has closed its output, and needs its keeper all the same
            self._look()

    def _started(self, pipe: int) -> subprocess.Popen[bytes]:
        runner = Path(__file__).with_name("runner.py")
        arguments = [str(pipe), str(self._memory), str(os.getpid()), json.dumps(_folders())]
        return subprocess.Popen(  # noqa: S603 - the Python of an environment that was made here
            [self._launch.python, "-I", "-u", "-X", "faulthandler", runner, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(pipe, self._memory),
            env={**os.environ, MARK: f"{os.getpid()}-{secrets.token_hex(8)}"},
            start_new_session=True,  # Ctrl-C is the host's, and killing takes all that it started along
            bufsize=0,
        )

    def _ends_later(self) -> bool:
        try:
            self._popen.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _look(self) -> None:
        try:
            self._check_memory("no call")
        except _EndedError as error:
            logger.warning("the plugin '%s' %s", self._launch.name, error)
            self._why = str(error)
            self._popen.kill()

    def _log(self, printed: bytes, *, last: bool) -> bytes:
        """Log the whole lines of what was printed, and give the rest."""
        *lines, rest = printed.split(b"\n")
        if last or len(rest) > _LINE_BYTES:
            lines, rest = [*lines, rest], b""
        for line in lines:
            words = _printable(line.strip())
            if words:
                self._last.append(words)
                logger.info("the plugin '%s' printed: %s", self._launch.name, words)
        return rest


def _printable(line: bytes) -> str:
    """Give a line without what a terminal would obey, and not too much of it."""
    text = line[:_LINE_BYTES].decode(errors="backslashreplace")
    safe = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return safe if len(safe) <= _LINE_CHARACTERS else f"{safe[:_LINE_CHARACTERS]}..."


def signal_name(number: int) -> str:
    """Give a signal's name, such as SIGKILL; real-time signals between the first and the last have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _nothing() -> None:
    return None


def _check_turn(reply: Mapping[str, Any], turn: int, what: str) -> None:
    if reply.get("turn") != turn:
        raise PluginError(f"sent an answer in {what} that nobody asked for, and its process was ended")


def _until(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _EndedError


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def _folders() -> dict[str, str]:
    """Give the folders of the packages that the process has from here."""
    found = {name: importlib.util.find_spec(name) for name in _SHARED}
    return {name: str(Path(spec.origin).parent) for name, spec in found.items() if spec and spec.origin}
