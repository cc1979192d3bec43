"""What plugins cost: calls, seconds and failures of each hook of each plugin.

A hook's implementation is wrapped where it is registered, so that whoever calls the hook pays two looks at
the clock. A wrapper around a hook (https://pluggy.readthedocs.io, "Wrappers") is charged for its own two
halves, not for what it waits for between them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from functools import partial, wraps
from typing import Any

import pluggy

from ..contracts.costs import Spent
from ..errors import StrettoError

__all__ = ["Ledger"]


class Ledger:
    """Adds up what plugins take; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], list[float]] = {}  # calls, seconds, failures

    def take(self) -> tuple[Spent, ...]:
        """Give what was spent since the last time, and begin anew."""
        with self._lock:
            rows, self._rows = self._rows, {}
        return tuple(
            Spent(plugin=plugin, hook=hook, calls=int(calls), seconds=seconds, failures=int(failures))
            for (plugin, hook), (calls, seconds, failures) in rows.items()
        )

    def charge(self, plugin: str, hook: str, seconds: float, *, calls: int = 1, failures: int = 0) -> None:
        """Add to one row."""
        with self._lock:
            row = self._rows.setdefault((plugin, hook), [0, 0.0, 0])
            row[0] += calls
            row[1] += seconds
            row[2] += failures

    def timed(self, plugin: str, hook: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Give an implementation of a hook that is charged for each call."""

        @wraps(work)
        def call(*arguments: Any, **named: Any) -> Any:
            begun = self._clock()
            failed = 0
            try:
                return work(*arguments, **named)
            except StrettoError:
                raise
            except Exception:
                failed = 1
                raise
            finally:
                self.charge(plugin, hook, self._clock() - begun, failures=failed)

        return call

    def timed_around(
        self, plugin: str, hook: str, work: Callable[..., Generator[None, Any, Any]]
    ) -> Callable[..., Generator[None, Any, Any]]:
        """Give a wrapper of a hook that is charged for its own halves; what it lets through is not its failure."""

        @wraps(work)
        def call(*arguments: Any, **named: Any) -> Generator[None, Any, Any]:
            halves = work(*arguments, **named)
            ended = self._half(plugin, hook, partial(next, halves), calls=1)
            while ended is None:
                try:
                    answer = yield
                except BaseException as error:  # noqa: BLE001 - what it is, is the wrapper's to say
                    ended = self._half(plugin, hook, partial(halves.throw, error), passing=error)
                else:
                    ended = self._half(plugin, hook, partial(halves.send, answer))
            return ended.value

        return call

    def watch(self, plugin: str, hook: str, impl: pluggy.HookImpl) -> None:
        """Have an implementation that is registered charged from now on."""
        work: Callable[..., Any] = impl.function
        timed = self.timed_around if impl.wrapper or impl.hookwrapper else self.timed
        # pluggy has no place between a hook and one of its plugins but this
        impl.function = timed(plugin, hook, work)  # type: ignore[misc]  # final for those who subclass

    def _half(
        self,
        plugin: str,
        hook: str,
        step: Callable[[], object],
        *,
        calls: int = 0,
        passing: BaseException | None = None,
    ) -> StopIteration | None:
        """Go on to the wrapper's next `yield`, or to its end, which is given."""
        begun = self._clock()
        failed = 0
        try:
            step()
        except StopIteration as end:
            return end
        except StrettoError:
            raise
        except Exception as error:
            failed = int(error is not passing)
            raise
        finally:
            self.charge(plugin, hook, self._clock() - begun, calls=calls, failures=failed)
        return None
