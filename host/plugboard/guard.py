"""Plugins that fail too often in a row: who they are, in a file that every host of a data directory reads.

A plugin stands in the file until somebody switches it on again.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, StrettoError, UnavailableError
from .culprit import is_of_others
from .keeping import PATIENCE_S, held, written

__all__ = [
    "OFF_NAME",
    "SPARED",
    "Guard",
    "enable",
    "enabling",
    "keep_off",
    "read_off",
    "switch_off",
    "why_off",
]

OFF_NAME = "plugins-off.json"
# Built-in plugins without which nothing is drawn; they are reported, and stay on.
SPARED = frozenset({"starter", "loaders", "schedulers"})
logger = logging.getLogger(__name__)


class Guard:
    """Counts failures in a row of each hook of each plugin; safe to use from several threads.

    `act` is told of a plugin that reached `most` of them, how many it were, and the words of the last one.
    With `most` 0 nobody is.
    """

    def __init__(self, act: Callable[[str, int, str], None], most: int = 0) -> None:
        self.most = most
        self._act = act
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], int] = {}

    def note(self, plugin: str, hook: str, failed: str | None) -> None:
        """Hear of a call or a job: what its failure said, or None where it went well.

        Nobody is switched off for a file of weights that is broken, or a server that is away.
        """
        if failed is not None and is_of_others(failed):
            return
        with self._lock:
            if failed is None:
                self._rows.pop((plugin, hook), None)
                return
            count = self._rows[plugin, hook] = self._rows.get((plugin, hook), 0) + 1
            reached = 0 < self.most <= count
            if reached:
                self._rows = {key: row for key, row in self._rows.items() if key[0] != plugin}
        if reached:
            self._act(plugin, count, failed)


def read_off(root: Path) -> Mapping[str, str]:
    """Give the plugins that are switched off in a data directory, each with the reason for its row.

    Raises ConfigurationError for a file that is none of ours.
    """
    return {name: str(entry["why"]) for name, entry in _entries(root).items()}


def why_off(name: str, count: int, last: str) -> str:
    """Say why a plugin is switched off, for its row."""
    return (
        f"switched off after {count} failures in a row (the last: {last}); "
        f"`stretto plugins enable {name}` switches it on again"
    )


def switch_off(root: Path, name: str, count: int, last: str) -> str:
    """Put a plugin into the file, and give the reason; raises as `keep_off` does."""
    keep_off(root, name, why := why_off(name, count, last))
    return why


def keep_off(root: Path, name: str, why: str, patience_s: float | None = None) -> None:
    """Put a plugin into the file; raises UnavailableError where that cannot be, ConfigurationError as `read_off`."""
    with _changing(root, patience_s) as file:
        written(file, {**_entries(root), name: {"why": why, "at": time.time()}})


def enable(root: Path, name: str) -> bool:
    """Take a plugin out of the file; False where it did not stand there. Raises as `switch_off` does."""
    if name not in _entries(root):
        return False
    with _changing(root) as file:
        left = {other: entry for other, entry in _entries(root).items() if other != name}
        written(file, left)
    return True


@contextmanager
def enabling(root: Path, names: Iterable[str]) -> Iterator[None]:
    """Take plugins out of the file; if what is done with them raises, they stand there again."""
    kept = {name: entry for name, entry in _entries(root).items() if name in set(names)}
    try:
        for name in kept:
            enable(root, name)
        yield
    except BaseException:
        if kept:
            _put_back(root, kept)
        raise


def _put_back(root: Path, kept: Mapping[str, Any]) -> None:
    try:
        with _changing(root) as file:
            written(file, {**kept, **_entries(root)})
    except StrettoError:  # what went wrong before it is what is told
        logger.exception("%s stay switched on, for who is off cannot be kept", ", ".join(sorted(kept)))


@contextmanager
def _changing(root: Path, patience_s: float | None = None) -> Iterator[Path]:
    """Give the file, which no other process changes meanwhile; raises UnavailableError where it cannot be changed."""
    file = root / OFF_NAME
    try:
        with held(file, PATIENCE_S if patience_s is None else patience_s):
            yield file
    except OSError as error:
        said = (
            f"{file} says which plugins are switched off, and cannot be changed ({error}); nothing is changed"
        )
        raise UnavailableError(f"{said}; try again when it can") from error


def _entries(root: Path) -> dict[str, dict[str, Any]]:
    file = root / OFF_NAME
    try:
        entries = json.loads(file.read_text("utf-8"))
        known = all(isinstance(entry["why"], str) for entry in entries.values())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise ConfigurationError(_unreadable(file, f"{type(error).__name__}: {error}")) from error
    if not known:
        raise ConfigurationError(_unreadable(file, "a reason is no text"))
    return dict(entries)


def _unreadable(file: Path, why: str) -> str:
    return (
        f"{file} says which plugins are switched off, and cannot be read ({why}); remove it, or put it right"
    )
