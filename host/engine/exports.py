"""Exports of networks: made once for all targets that one builder builds for, and held against torch.

An export lies beside the engines in a folder that a sweep leaves alone while its process lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from stretto.trt_cache.store import EngineStore

from ..contracts.models import Precision
from .graphs import Graph

__all__ = ["CHECKED", "Exports"]

# Lengths at which an export is held against torch; small ones, since one graph is right for all.
CHECKED: tuple[Mapping[str, int], ...] = (
    {"batch": 1, "height": 24, "width": 16, "tokens": 154},
    {"batch": 2, "height": 16, "width": 32, "tokens": 77},
)
Key = tuple[str, str, Precision]


class Exports:
    """The last export of one process; used by one thread."""

    def __init__(self, store: EngineStore) -> None:
        self._store = store
        self._folder = ExitStack()
        self._key: Key | None = None
        self._made: Graph | None = None

    def close(self) -> None:
        """Remove the last export; idempotent."""
        self._key = self._made = None
        self._folder.close()

    @contextmanager
    def of(self, graph: Graph, digest: str, *, keep: bool, check: bool) -> Iterator[Graph]:
        """Give a graph that finds its own export or makes it; `keep` leaves that for the next one that is the same.

        `digest` is the graph's. With `check` what is exported is compared with torch at `CHECKED`, and the graph
        raises EngineBuildError where they differ.
        """
        key = digest, str(graph.component), graph.precision
        if self._key != key:
            self.close()
            folder = self._folder.enter_context(self._store.beside())
            self._made = replace(graph, folder=folder)
            self._key = key
        assert self._made is not None  # noqa: S101  # it goes and comes with the key
        mine = replace(graph, folder=self._made.folder, checked_at=CHECKED if check else ())
        mine.export = self._made.export
        try:
            yield mine
        except BaseException:
            self.close()  # what is there may be half of it
            raise
        self._made.export = mine.export
        if not keep:
            self.close()
