"""Which models are resident: loads, shares, and lets go of the least recently used within a budget."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from ..contracts.events import Event, ModelEvicted, ModelLoaded
from ..contracts.models import ModelSpec
from ..contracts.protocols import LoadedModel
from ..errors import OutOfMemoryError
from .components import settle, size_bytes
from .device import free_cache, out_of_memory_said

__all__ = ["ModelPool"]


class ModelPool:
    """Loaded models by their spec; equal specs share one load.

    `budget_bytes` bounds what all of them take together; the model in use stays even if it alone is
    larger. `publish` hears of loads and evictions, whose `job` is
    empty for the caller to fill. Used by one thread.
    """

    def __init__(
        self,
        budget_bytes: int,
        load: Callable[[ModelSpec], LoadedModel],
        publish: Callable[[Event], None],
    ) -> None:
        self.budget_bytes = budget_bytes
        self._load = load
        self._publish = publish
        self._resident: OrderedDict[ModelSpec, LoadedModel] = OrderedDict()
        self._sizes: dict[ModelSpec, int] = {}

    @property
    def size_bytes(self) -> int:
        """Say what all resident models take."""
        return sum(self._sizes.values())

    @property
    def resident(self) -> tuple[ModelSpec, ...]:
        """Name the resident models, the least recently used first."""
        return tuple(self._resident)

    def get(self, spec: ModelSpec) -> LoadedModel:
        """Give the model, loaded now if it is not resident; raises what loading raises."""
        if spec in self._resident:
            self._resident.move_to_end(spec)
            return self._resident[spec]
        self._make_room(spec.weights.size_bytes)
        began = time.perf_counter()
        model = self._loaded(spec)
        self._resident[spec] = model
        self._sizes[spec] = size_bytes(model)
        self._publish(
            ModelLoaded(
                job="",
                model=_name(spec),
                seconds=time.perf_counter() - began,
                size_bytes=self._sizes[spec],
            )
        )
        self._make_room(0, keep=spec)
        return model

    def evict(self, spec: ModelSpec, why: str) -> None:
        """Let go of one model; nothing happens if it is not resident."""
        if spec not in self._resident:
            return
        del self._resident[spec]
        del self._sizes[spec]
        free_cache()
        self._publish(ModelEvicted(job="", model=_name(spec), why=why))

    def close(self) -> None:
        """Let go of every model."""
        for spec in self.resident:
            self.evict(spec, "the pool closes")

    def _loaded(self, spec: ModelSpec) -> LoadedModel:
        doing = f"loading the model '{_name(spec)}'"
        try:
            with out_of_memory_said(doing):
                return settle(self._load(spec))
        except OutOfMemoryError:
            if not self._resident:
                raise
        for other in self.resident:
            self.evict(other, f"no room while {doing}")
        with out_of_memory_said(doing):
            return settle(self._load(spec))

    def _make_room(self, wanted_bytes: int, keep: ModelSpec | None = None) -> None:
        for spec in self.resident:
            if self.size_bytes + wanted_bytes <= self.budget_bytes:
                return
            if spec != keep:
                self.evict(spec, f"the models' budget of {self.budget_bytes} bytes is full")


def _name(spec: ModelSpec) -> str:
    return spec.weights.name or spec.weights.path
