"""The door through which the host calls plugins: what goes through is timed, watched, and answered for.

A hook's implementation is wrapped where it is registered, and what specs build where it is built, so that
whoever calls pays a few looks at the clock. A wrapper around a hook (https://pluggy.readthedocs.io,
"Wrappers") is charged for its own two halves, not for what it waits for between them. A call within another
plugin's is in both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial, update_wrapper
from typing import Any

import pluggy

from ..errors import PluginError, StrettoError
from .culprit import accused, is_innocent, nearest, reason, roots_of
from .ledger import Ledger
from .watch import DESK, Mark, Watch

__all__ = ["AT_WORK", "Calls", "Place", "importing"]

AT_WORK = 255  # bytes that say who is at work in what
_NOTHING = object()  # what a wrapper was given where there was an exception
# Hooks that answer for a request or a job, which fails with the plugin's name.
_ANSWERING = frozenset({"build_plan", "run_step"})


class Place:
    """Which call this is: its row in the ledger, and its name in messages."""

    __slots__ = ("at_work", "doing", "drawing", "hook", "named", "plugin")

    def __init__(self, plugin: str, hook: str, doing: str = "", *, drawing: bool = False) -> None:
        self.plugin = plugin
        self.hook = hook
        self.doing = doing or hook
        self.drawing = drawing or hook == "run_step"  # takes as long as it takes
        self.named = bool(doing) or hook in _ANSWERING  # errors come out as PluginErrors
        self.at_work = f"{plugin}\n{hook}\n{self.doing}".encode()[:AT_WORK]


@contextmanager
def importing(plugin: str) -> Iterator[None]:
    """Have a process that watches this one know whose code it was in, should it end meanwhile."""
    desk = DESK.get()
    if desk is None:
        yield
        return
    before, desk.value = desk.value, Place(plugin, "import").at_work
    try:
        yield
    finally:
        desk.value = before


class Calls:
    """The calls of one host's plugins; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.ledger = Ledger()
        self.watch = Watch(self.ledger, clock)
        self.roots: dict[str, frozenset[str]] = {}
        self._author = threading.local()

    def called(self, place: Place, work: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function of a plugin as the host calls it."""

        def call(*arguments: Any, **named: Any) -> Any:
            mark = self.watch.begin(place)
            try:
                answer = work(*arguments, **named)
            except BaseException as error:
                self._raised(place, mark, error)
                raise
            self.ledger.charge(place.plugin, place.hook, self.watch.end(mark))
            if answer is not None:
                self._author.name = place.plugin
            return answer

        return _like(call, work)

    def called_around(
        self, place: Place, work: Callable[..., Generator[None, Any, Any]]
    ) -> Callable[..., Generator[None, Any, Any]]:
        """Give a wrapper of a hook as the host calls it; what it lets through is not its failure."""

        def call(*arguments: Any, **named: Any) -> Generator[None, Any, Any]:
            halves, known = work(*arguments, **named), _NOTHING
            if self._half(place, partial(next, halves), calls=1) is not None:
                raise self._misused(place, "it did not yield; a wrapper yields once")
            answer = None
            try:
                answer = yield
                known = _held(answer)
            except BaseException as error:  # noqa: BLE001 - what it is, is the wrapper's to say
                ended = self._half(place, partial(halves.throw, error), passing=error)
            else:
                ended = self._half(place, partial(halves.send, answer))
            if ended is None:
                halves.close()
                raise self._misused(place, "it yielded twice; a wrapper yields once")
            gives = _held(answer) if isinstance(answer, pluggy.Result) else ended.value
            if gives is not known:
                self._author.name = place.plugin
            return ended.value

        return _like(call, work)

    def implementation(self, plugin: str, hook: str, impl: pluggy.HookImpl) -> None:
        """Have an implementation that is registered go through the door from now on."""
        work: Callable[..., Any] = impl.function
        through = self.called_around if impl.wrapper or impl.hookwrapper else self.called
        # pluggy has no place between a hook and one of its plugins but this
        impl.function = through(Place(plugin, hook), work)  # type: ignore[misc]  # final for those who subclass
        for root in roots_of(impl.plugin):
            self.roots[root] = self.roots.get(root, frozenset()) | {plugin}

    def author(self) -> str | None:
        """Name the plugin that this thread's last answer is of; None if it was the host's own."""
        return getattr(self._author, "name", None)

    def ask(self) -> None:
        """Begin to listen for who answers."""
        self._author.name = None

    def wrong_answer(self, hook: str, answer: object, wanted: str) -> StrettoError | None:
        """Charge whoever gave what is no answer to a hook; None if that was the host itself."""
        plugin = self.author()
        if plugin is None:
            return None
        gave = f"it gave {type(answer).__name__}; it must give a {wanted}, or None to leave it to the next"
        return self._misused(Place(plugin, hook), gave)

    def blamed(self, error: BaseException) -> BaseException:
        """Name the plugin in whose code a job failed beside all calls into it; other errors are as they are."""
        if is_innocent(error, self.roots) or isinstance(error, PluginError):
            return error
        plugin = nearest(error, self.roots)
        if plugin is None:
            return error
        self.ledger.charge(plugin, "drawing", 0.0, calls=0, failed=reason(error))
        return accused(plugin, "drawing", error)

    # -- inside --------------------------------------------------------------------------------

    def _raised(self, place: Place, mark: Mark, error: BaseException, calls: int = 1) -> None:
        """Charge what was raised; raises it anew with the plugin's name where a job or request is to have it."""
        seconds = self.watch.end(mark)
        if is_innocent(error, self.roots, place.plugin):
            self.ledger.charge(place.plugin, place.hook, seconds, calls=calls, failed=None)
            return
        guilty = nearest(error, self.roots, place.plugin) or place.plugin
        failed = f"{place.doing} raised {reason(error)}"
        own = guilty == place.plugin
        self.ledger.charge(place.plugin, place.hook, seconds, calls=calls, failed=failed if own else "")
        if not own:
            self.ledger.charge(guilty, place.hook, 0.0, calls=0, failed=failed)
        named = accused(guilty, place.doing, error) if place.named else None
        if named is not None and named is not error:
            raise named from error
        if not isinstance(error, Exception):  # nobody above expects it of a plugin
            raise accused(place.plugin, place.doing, error) from error

    def _half(
        self,
        place: Place,
        step: Callable[[], object],
        *,
        calls: int = 0,
        passing: BaseException | None = None,
    ) -> StopIteration | None:
        """Go on to the wrapper's next `yield`, or to its end, which is given."""
        mark = self.watch.begin(place)
        try:
            step()
        except StopIteration as end:
            self.ledger.charge(place.plugin, place.hook, self.watch.end(mark), calls=calls)
            return end
        except BaseException as error:
            if error is passing:
                self.ledger.charge(place.plugin, place.hook, self.watch.end(mark), calls=calls)
            else:
                self._raised(place, mark, error, calls)
            raise
        self.ledger.charge(place.plugin, place.hook, self.watch.end(mark), calls=calls, failed=None)
        return None

    def _misused(self, place: Place, how: str) -> StrettoError:
        self.ledger.charge(place.plugin, place.hook, 0.0, calls=0, failed=f"{place.doing}: {how}")
        error = PluginError(f"the plugin '{place.plugin}' is wrong in {place.doing}: {how}")
        return accused(place.plugin, place.doing, error)


def _held(answer: object) -> object:
    """Give an answer, out of what wrappers of the older kind are handed instead."""
    if isinstance(answer, pluggy.Result):
        return answer.exception or answer.get_result()
    return answer


def _like(call: Callable[..., Any], work: Callable[..., Any]) -> Callable[..., Any]:
    # what a class or an object has in its `__dict__` is not a function's
    return update_wrapper(call, work, updated=())
