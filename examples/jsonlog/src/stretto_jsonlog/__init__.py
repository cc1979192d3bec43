"""Writes what happens to jobs as lines of JSON, for log shippers and for `jq`.

A plugin may be an object as well as a module: this one is a class, of which each host makes its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import IO, Any

from stretto.host import Event, HostView, StepProgress, hookimpl

__version__ = "1.0.0"


@dataclass(frozen=True)
class Options:
    """`[plugins.jsonlog]` in plugins.toml."""

    path: Path = Path("events.jsonl")  # from the data directory
    progress: bool = False  # StepProgress, too: up to ten lines a second


class JsonLog:
    """One host's log, open from `host_started` to `host_stopping`; events come from several threads."""

    Settings = Options  # what the host reads `[plugins.jsonlog]` into
    REQUIRES_STRETTO_API = ">=1.0,<2"
    __version__ = __version__

    def __init__(self) -> None:
        self._lock = Lock()
        self._file: IO[str] | None = None
        self._progress = False

    @hookimpl
    def host_started(self, host: HostView) -> None:
        """Open the file to write at its end; a path that cannot be written makes the plugin a broken row."""
        options = host.plugin_settings("jsonlog", Options)
        path = host.folders.root / options.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._progress = options.progress
            self._file = path.open("a", encoding="utf-8", buffering=1)  # a line is there once it is whole

    @hookimpl
    def observe(self, event: Event) -> None:
        """Write one event."""
        with self._lock:
            if self._file is not None and (self._progress or not isinstance(event, StepProgress)):
                self._file.write(line_of(event))

    @hookimpl
    def host_stopping(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None


def line_of(event: Event) -> str:
    """Give an event as a line of JSON: its class, its time in ISO 8601, then all that it says."""
    values: dict[str, Any] = asdict(event)
    said = {name: value for name, value in values.items() if name != "at" and value not in (None, "", [], ())}
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    return (
        json.dumps({"event": type(event).__name__, "at": at, **said}, default=str, ensure_ascii=False) + "\n"
    )
