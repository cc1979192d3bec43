"""Exports of networks: made once for all targets that one builder builds for, and held against torch.

An export lies beside the engines in a folder that a sweep leaves alone while its process lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from stretto.trt_cache.store import EngineStore

from ..contracts.models import Precision
from .graphs import Export, Graph

__all__ = ["CHECKED", "Exports"]

# Lengths at which an export is held against torch; small ones, since one graph is right for all.
CHECKED: tuple[Mapping[str, int], ...] = (
    {"batch": 1, "height": 24, "width": 16, "tokens": 154},
    {"batch": 2, "height": 16, "width": 32, "tokens": 77},
)
Key = tuple[str, str, Precision, bool]


class Exports:
    """The last export of one process; used by one thread. No network is held on to, only its file."""

    def __init__(self, store: EngineStore) -> None:
        self._store = store
        self._folder = ExitStack()
        self._kept: tuple[Key, Path, Export | None] | None = None

    def close(self) -> None:
        """Remove the last export; idempotent."""
        self._kept = None
        self._folder.close()

    @contextmanager
    def of(self, graph: Graph, digest: str, *, keep: bool, check: bool) -> Iterator[Graph]:
        """Give a graph that finds its own export or makes it; `keep` leaves that for the next one that is the same.

        `digest` is the graph's. With `check` what is exported is compared with torch at `CHECKED`, and the graph
        raises EngineBuildError where they differ; an export that was not compared does not serve then.
        """
        key = digest, str(graph.component), graph.precision, check
        if self._kept is None or self._kept[0] != key:
            self.close()
            self._kept = key, self._folder.enter_context(self._store.beside()), None
        _, folder, export = self._kept
        mine = replace(graph, folder=folder, checked_at=CHECKED if check else ())
        mine.export = export
        try:
            yield mine
        except BaseException:
            self.close()  # what is there may be half of it
            raise
        self._kept = key, folder, mine.export
        if not keep:
            self.close()
