"""What can be wrong with the cache of engines; the host says it again as an error of its own."""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "BuildStoppedError",
    "BusyError",
    "CacheError",
    "UnknownEngineError",
    "UnreadableError",
]


class CacheError(Exception):
    """The cache cannot do what was asked; says why and what would do, and is as before."""


class BusyError(CacheError):
    """Another process has the engine for longer than was to be waited."""


class BuildStoppedError(CacheError):
    """The caller no longer waits for another process to build the engine."""


class UnknownEngineError(CacheError):
    """There is no engine of that digest."""


class ArchiveError(CacheError):
    """An archive is not one of ours, or not as it was written; nothing of it is kept."""


class UnreadableError(CacheError):
    """A manifest cannot be read; `newer` says that a later release wrote it, so that it is left alone."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        super().__init__(message)
        self.newer = newer
