"""What plugins cost: calls, seconds, failures and overruns of each hook of each plugin.

Rows only grow; whoever takes them is given what came since that taker's last time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..contracts.costs import Spent

__all__ = ["Ledger"]

Note = Callable[[str, str, str | None], None]


@dataclass(slots=True)
class _Row:
    calls: int = 0
    seconds: float = 0.0
    failures: int = 0
    overruns: int = 0
    last: str = ""
    failing: bool = False  # the last call was a failure


class Ledger:
    """Adds up what plugins take; safe to use from several threads.

    `heard` is told of every failure (plugin, hook, its words), and of the first good call after one (None).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], _Row] = {}
        self._taken: dict[str, dict[tuple[str, str], Spent]] = {}
        self.heard: Note = _unheard

    def take(self, taker: str = "") -> tuple[Spent, ...]:
        """Give what was spent since the last time that this taker asked."""
        with self._lock:
            now = {key: _spent(key, row) for key, row in self._rows.items()}
            before, self._taken[taker] = self._taken.get(taker, {}), now
        grown = (_grown(one, before.get(key)) for key, one in now.items())
        return tuple(one for one in grown if one.calls or one.failures or one.overruns or one.seconds)

    def charge(
        self, plugin: str, hook: str, seconds: float, *, calls: int = 1, failed: str | None = ""
    ) -> None:
        """Add to one row; `failed` is what a failure said, empty for a good call, None for one that goes on."""
        key = (plugin, hook)
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row()
            row.calls += calls
            row.seconds += seconds
            turned = failed is not None and (row.failing or failed != "")
            if failed:
                row.failures += 1
                row.last = failed
            if failed is not None:
                row.failing = failed != ""
        if turned:
            self.heard(plugin, hook, failed or None)

    def overran(self, plugin: str, hook: str) -> None:
        """Count a call that runs past its limit."""
        with self._lock:
            self._rows.setdefault((plugin, hook), _Row()).overruns += 1


def _unheard(_plugin: str, _hook: str, _failed: str | None) -> None:
    """Do nothing: nobody minds the plugins."""


def _spent(key: tuple[str, str], row: _Row) -> Spent:
    return Spent(
        plugin=key[0],
        hook=key[1],
        calls=row.calls,
        seconds=row.seconds,
        failures=row.failures,
        overruns=row.overruns,
        last=row.last,
    )


def _grown(now: Spent, before: Spent | None) -> Spent:
    if before is None:
        return now
    failures = now.failures - before.failures
    return replace(
        now,
        calls=now.calls - before.calls,
        seconds=now.seconds - before.seconds,
        failures=failures,
        overruns=now.overruns - before.overruns,
        last=now.last if failures else "",
    )
