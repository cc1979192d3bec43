"""An isolated plugin's process as those who call it see it: started when it is needed, anew when it ended."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..errors import PluginError
from ..settings import Settings
from .process import Launch, Process

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Remote"]

_SLICE_S = 0.1  # between two looks at whether a call that waits for others is still wanted
_GRACE_S = 2.0  # for a call that is at work when the host stops


class Remote:
    """Calls into one plugin's process, one at a time; safe to use from several threads.

    A call waits for those before it, as long as one call may take at most, and can be stopped meanwhile.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._told: Settings | None = None  # which the process has
        self.runs = itertools.count()  # of pictures that are made piece by piece
        self._steps = threading.local()  # `check` of the thread whose step waits
        self._closed = False

    @property
    def name(self) -> str:
        """Give the plugin's name."""
        return self._launch.name

    @property
    def pid(self) -> int | None:
        """Give the id of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    def call(self, what: str, **said: Any) -> Any:
        """Have a call answered; raises what the plugin raised, PluginError when it ended, hung or took too much."""
        with self._turn(what):
            return self._ready().call(what, said, None, self._check())

    def picture(self, what: str, image: Image, **said: Any) -> Image:
        """Have a call answered that takes a picture and gives one."""
        with self._turn(what):
            process = self._ready()
            return process.picture(process.call(what, said, image, self._check()), what)

    def piece(self, what: str, image: Image | None, **said: Any) -> tuple[Image, tuple[int, int]] | None:
        """Have the next piece of a picture made, with its left and top pixel; None when there is no more."""
        with self._turn(what):
            process = self._ready()
            answer = process.call(what, said, image, self._check())
            if answer is None:
                return None
            if not isinstance(answer, Mapping) or not _is_place(answer.get("at")):
                raise PluginError(f"the plugin '{self.name}' gave no piece of a picture in {what}")
            left, top = answer["at"]
            return process.picture(answer.get("piece"), what), (left, top)

    @contextmanager
    def checked(self, check: Callable[[], None]) -> Iterator[None]:
        """Have `check` called while this thread waits for a call; what it raises ends the process."""
        before = self._check()
        self._steps.check = check
        try:
            yield
        finally:
            self._steps.check = before

    def close(self) -> None:
        """Let the process leave; a call that it is still at ends with it, and no other is answered."""
        self._closed = True
        while not self._lock.acquire(timeout=_GRACE_S):
            if self._process is not None:
                self._process.abort()
        try:
            if self._process is not None:
                self._process.quit()
                self._process = None
        finally:
            self._lock.release()

    @contextmanager
    def _turn(self, what: str) -> Iterator[None]:
        """Hold the process for one call; raises PluginError when others have it for a whole time_limit_s."""
        check, limit_s = self._check(), self._launch.time_limit_s
        deadline = time.monotonic() + limit_s
        while not self._lock.acquire(timeout=max(0.0, min(_SLICE_S, deadline - time.monotonic()))):
            check()
            if time.monotonic() >= deadline:
                raise PluginError(
                    f"the plugin '{self.name}' did not come to {what} within its time_limit_s of {limit_s:g} s, for its "
                    f"process was at other calls; raise time_limit_s in [plugins.{self.name}] if they need longer"
                )
        try:
            yield
        finally:
            self._lock.release()

    def _check(self) -> Callable[[], None]:
        check: Callable[[], None] = getattr(self._steps, "check", _nothing)
        return check

    def _ready(self) -> Process:
        if self._closed:
            raise PluginError(f"the plugin '{self.name}' is not called any more: the host has closed it")
        if self._process is not None and not self._process.alive:
            self._process.kill()
            self._process = None
        if self._process is None:
            if not self._launch.python.exists():
                raise PluginError(
                    f"the environment of the plugin '{self.name}' is gone ({self._launch.python}); make it anew: "
                    f"stretto plugins install {self.name} --isolated"
                )
            self._told = self._launch.settings()
            boot = {**self._launch.boot, "settings": asdict(self._told)}
            self._process = Process(replace(self._launch, boot=boot))
            try:
                self._process.boot()
            except BaseException:
                self._process.kill()
                self._process = None
                raise
        if (settings := self._launch.settings()) != self._told:
            self._process.call("settings", {"settings": asdict(settings)}, None, self._check())
            self._told = settings
        return self._process


def _nothing() -> None:
    return None


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and [type(number) for number in value] == [int, int]
