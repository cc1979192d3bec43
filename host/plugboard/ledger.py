"""What plugins cost: calls, seconds, failures and overruns of each hook of each plugin.

Rows only grow; whoever takes them is given what came since that taker's last time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..contracts.costs import Spent

__all__ = ["Ledger"]

Note = Callable[[str, str, str | None], None]
_Sum = tuple[int, float, int, int]  # calls, seconds, failures, overruns
_NOTHING: _Sum = (0, 0.0, 0, 0)


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
        self._taken: dict[str, dict[tuple[str, str], _Sum]] = {}
        self.heard: Note = _unheard

    def take(self, taker: str = "") -> tuple[Spent, ...]:
        """Give what was spent since the last time that this taker asked."""
        found = []
        with self._lock:
            taken = self._taken.setdefault(taker, {})
            for key, row in self._rows.items():
                before = taken.get(key, _NOTHING)
                now = row.calls, row.seconds, row.failures, row.overruns
                if now != before:
                    taken[key] = now
                    found.append(_grown(key, now, before, row.last))
        return tuple(found)

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


def _grown(key: tuple[str, str], now: _Sum, before: _Sum, last: str) -> Spent:
    failures = now[2] - before[2]
    return Spent(
        plugin=key[0],
        hook=key[1],
        calls=now[0] - before[0],
        seconds=round(now[1] - before[1], 7),
        failures=failures,
        overruns=now[3] - before[3],
        last=last if failures else "",
    )
