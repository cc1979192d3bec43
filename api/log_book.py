"""The server's last log lines, kept in memory for `GET /api/logs`."""

from __future__ import annotations

import datetime as dt
import logging
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

__all__ = ["BOOK", "LogBook", "Wanted"]

KEPT = 2000
CONTENT_CHARACTERS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines to give; an empty collection and None take all. `since` is a Unix time."""

    since: float | None = None
    levels: Collection[str] = ()
    loggers: Collection[str] = ()
    search: str = ""


class LogBook(logging.Handler):
    """Keeps what is logged; URLs' queries, which may hold keys, are not logged by us in the first place."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._lines: deque[tuple[float, dict[str, Any]]] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, its traceback folded into it."""
        try:
            content = self.format(record)[:CONTENT_CHARACTERS]
        except Exception:  # noqa: BLE001  # as every handler does: a bad line must not end its caller
            self.handleError(record)
            return
        moment = dt.datetime.fromtimestamp(record.created)  # noqa: DTZ006  # the contract's are local
        line = {
            "timestamp": moment.isoformat(),
            "logger": record.name,
            "level": record.levelname,
            "file": record.filename,
            "line": str(record.lineno),
            "content": content,
        }
        self._lines.append((moment.timestamp(), line))

    def attach(self) -> None:
        """Hear what is logged from now on; idempotent."""
        logging.getLogger().addHandler(self)

    def lines(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Give the lines, the newest first."""
        levels, text = {level.upper() for level in wanted.levels}, wanted.search.lower()
        return [
            line
            for created, line in reversed(self._lines.copy())
            if (wanted.since is None or created >= wanted.since)
            and (not levels or line["level"] in levels)
            and (not wanted.loggers or line["logger"] in wanted.loggers)
            and text in line["content"].lower()
        ]


BOOK = LogBook()
