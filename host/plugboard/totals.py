"""What plugins cost over the life of a data directory, in a file to which every host of it adds."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..contracts.costs import Spent
from .keeping import held, written

__all__ = ["COSTS_NAME", "Totals", "read_totals"]

COSTS_NAME = "plugins-costs.json"
EVERY_S = 5.0  # between two writes
PATIENCE_S = 1.0  # for another process that writes; then it is tried the next time
_ADDED = ("calls", "seconds", "failures", "overruns")
logger = logging.getLogger(__name__)


def read_totals(root: Path, plugin: str | None = None) -> tuple[Spent, ...]:
    """Give what all plugins, or one, cost so far; what a server that runs did last is added within seconds.

    A file that cannot be read counts as none, which is said in the log.
    """
    file, rows = root / COSTS_NAME, []
    try:
        kept = _kept(file)
    except OSError as error:
        logger.warning("what plugins cost so far cannot be read in %s: %s", file, error)
        return ()
    for name, hooks in kept.items():
        if plugin in (None, name):
            rows += [Spent(plugin=name, hook=hook, **row) for hook, row in sorted(hooks.items())]
    return tuple(rows)


class Totals:
    """Adds up what is to be added to the file; safe to use from several threads."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = root / COSTS_NAME
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._more: list[Spent] = []
        self._at = clock()
        self._failed = ""  # what the log was told, once

    def add(self, spent: Iterable[Spent]) -> None:
        """Take rows that have come since the last time."""
        with self._lock:
            self._more += spent

    @property
    def due(self) -> bool:
        """Say whether it is time to write."""
        return self._clock() - self._at >= EVERY_S

    def write(self) -> None:
        """Add to the file what is not in it; where that cannot be, the log says so once, and it is kept for later."""
        with self._writing:
            with self._lock:
                more, self._more, self._at = self._more, [], self._clock()
            if not more:
                return
            try:
                with held(self._file, PATIENCE_S):
                    written(self._file, _sum(_kept(self._file), more))
            except OSError as error:
                with self._lock:
                    self._more = _joined([*more, *self._more])
                self._say(str(error))
            else:
                self._say("")

    def _say(self, failed: str) -> None:
        if failed and failed != self._failed:
            logger.warning(
                "what plugins cost cannot be kept in %s (%s); it is tried again", self._file, failed
            )
        elif self._failed and not failed:
            logger.warning("what plugins cost is kept in %s again, and nothing is lost", self._file)
        self._failed = failed


def _kept(file: Path) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        kept = json.loads(file.read_text("utf-8"))
        return {
            str(name): {str(hook): _row(row) for hook, row in hooks.items()} for name, hooks in kept.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        logger.warning("%s cannot be read (%s: %s); it begins anew", file, type(error).__name__, error)
        return {}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    counts = {key: int(row[key]) for key in ("calls", "failures", "overruns")}
    return {**counts, "seconds": float(row["seconds"]), "last": str(row["last"])}


def _sum(kept: dict[str, dict[str, dict[str, Any]]], more: Iterable[Spent]) -> Mapping[str, Any]:
    for one in more:
        row = kept.setdefault(one.plugin, {}).setdefault(one.hook, dict.fromkeys(_ADDED, 0) | {"last": ""})
        for key in _ADDED:
            row[key] = round(row[key] + getattr(one, key), 6)
        row["last"] = one.last or row["last"]
    return kept


def _joined(more: Iterable[Spent]) -> list[Spent]:
    """Give one row where there are several of a hook."""
    summed = _sum({}, more)
    return [
        Spent(plugin=name, hook=hook, **row) for name, hooks in summed.items() for hook, row in hooks.items()
    ]
