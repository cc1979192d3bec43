"""Which models are resident, and where: loads, shares, moves aside, and lets go of the least recently used."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..contracts.events import Event, ModelEvicted, ModelLoaded, ModelMoved
from ..contracts.models import ModelSpec, Role
from ..contracts.protocols import LoadedModel
from ..errors import OutOfMemoryError
from .components import settle, size_bytes
from .device import free_cache, out_of_memory_said
from .offloading import IDLE, group_offload, move

__all__ = ["ModelPool", "Place"]

# Models that draw, of which one works at a time; the others serve whichever of them it is.
DRAWING = frozenset({Role.BASE, Role.INPAINTER, Role.REFINER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where models work, what becomes of one that draws when another one does, and how much may stay.

    `budget_bytes` bounds what all on `device` take together, `idle_bytes` what those take that are
    offloaded. On the CPU they are in RAM, idle or not: there `offload` moves nothing.
    """

    device: str
    budget_bytes: int
    idle_bytes: int = 0
    switch_mode: Literal["offload", "unload"] | None = None

    @property
    def offloads(self) -> bool:
        """Say whether idle models go elsewhere."""
        return self.switch_mode == "offload" and self.device != IDLE


@dataclass(slots=True)
class _Resident:
    model: LoadedModel
    size_bytes: int
    where: Literal["device", "idle", "grouped"] = "device"


class ModelPool:
    """Loaded models by their spec; equal specs share one load.

    The model in use stays even if it alone is larger than the budget; on a device that is not the
    CPU its weights then pass through in groups. `load` gets the spec and the device to load to.
    `publish` hears of loads, moves and evictions, whose `job` is empty for the caller to fill.
    Used by one thread.
    """

    def __init__(
        self, place: Place, load: Callable[[ModelSpec, str], LoadedModel], publish: Callable[[Event], None]
    ) -> None:
        self.place = place
        self._load = load
        self._publish = publish
        self._resident: OrderedDict[ModelSpec, _Resident] = OrderedDict()
        self._drawing: ModelSpec | None = None
        self._used: set[ModelSpec] = set()

    @property
    def size_bytes(self) -> int:
        """Say what the models on the device take."""
        return sum(one.size_bytes for one in self._resident.values() if one.where == "device")

    @property
    def idle_bytes(self) -> int:
        """Say what the models that are not on the device take."""
        return sum(one.size_bytes for one in self._resident.values() if one.where != "device")

    @property
    def resident(self) -> tuple[ModelSpec, ...]:
        """Name the resident models, the least recently used first."""
        return tuple(self._resident)

    @property
    def offloaded(self) -> tuple[ModelSpec, ...]:
        """Name the resident models that are off the device."""
        return tuple(spec for spec, one in self._resident.items() if one.where == "idle")

    def get(self, spec: ModelSpec) -> LoadedModel:
        """Give the model on the device, loaded now if it is not resident; raises what loading raises."""
        if spec.role in DRAWING and spec != self._drawing:
            self._switch(spec)
        found = self._resident.get(spec) or self._loaded(spec)
        self._resident.move_to_end(spec)
        self._used.add(spec)
        if found.where == "idle":
            self._make_room(found.size_bytes, keep=spec)
            self._move(spec, found, "device")
        self._make_room(0, keep=spec)
        return found.model

    def rest(self) -> None:
        """Hear that nobody works with any model just now: what was given since the last rest may go."""
        self._used.clear()

    def evict(self, spec: ModelSpec, why: str) -> None:
        """Let go of one model; nothing happens if it is not resident."""
        if self._resident.pop(spec, None) is None:
            return
        self._used.discard(spec)
        if spec == self._drawing:
            self._drawing = None
        free_cache()
        self._publish(ModelEvicted(job="", model=_name(spec), why=why))

    def relieve(self) -> int:
        """Free the device of all that can go while those at work go on; give how many models that were.

        Idle models are offloaded, on the CPU let go of. Those at work keep their weights off a device
        that is not the CPU from now on, and pass through it in groups.
        """
        count, used = 0, frozenset(self._used)
        for spec, one in [*self._resident.items()]:
            if spec not in used and one.where != "idle":
                count += 1
                if self.place.device == IDLE:
                    self.evict(spec, "the device was full")
                else:
                    self._move(spec, one, "idle")
            elif spec in used and one.where == "device" and self.place.device != IDLE:
                count += 1
                self._group(spec, one)
        return count

    def close(self) -> None:
        """Let go of every model."""
        for spec in self.resident:
            self.evict(spec, "the pool closes")

    # -- inside --------------------------------------------------------------------------------

    def _switch(self, spec: ModelSpec) -> None:
        """Put aside, as `switch_mode` says, what worked until now with another model that draws."""
        mode = self.place.switch_mode
        for other, one in [*self._resident.items()]:
            if other == spec or other.role is Role.SAFETY or one.where != "device":
                continue
            if mode == "unload":
                self.evict(other, f"switch_mode unload: '{_name(spec)}' works now")
            elif self.place.offloads:
                self._move(other, one, "idle")
        self._drawing = spec
        self._used.clear()
        self._bound_idle()

    def _loaded(self, spec: ModelSpec) -> _Resident:
        self._make_room(spec.weights.size_bytes)
        began = time.perf_counter()
        one = self._try_load(spec)
        self._resident[spec] = one
        self._publish(
            ModelLoaded(
                job="",
                model=_name(spec),
                seconds=time.perf_counter() - began,
                size_bytes=one.size_bytes,
            )
        )
        if one.where == "grouped":
            self._group(spec, one)
        return one

    def _try_load(self, spec: ModelSpec) -> _Resident:
        """Load to the device, with the others gone if need be, and else off it, for groups of its weights."""
        doing = f"loading the model '{_name(spec)}'"
        fits = self.place.device == IDLE or spec.weights.size_bytes <= self.place.budget_bytes
        if fits:
            try:
                return self._load_to(spec, self.place.device, doing)
            except OutOfMemoryError:
                if not self._resident and self.place.device == IDLE:
                    raise
            for other in self.resident:
                self.evict(other, f"no room while {doing}")
            try:
                return self._load_to(spec, self.place.device, doing)
            except OutOfMemoryError:
                if self.place.device == IDLE:
                    raise
        one = self._load_to(spec, IDLE, doing)
        one.where = "grouped"
        return one

    def _load_to(self, spec: ModelSpec, device: str, doing: str) -> _Resident:
        with out_of_memory_said(doing):
            model = settle(self._load(spec, device))
        return _Resident(model, size_bytes(model))

    def _move(self, spec: ModelSpec, one: _Resident, where: Literal["device", "idle"]) -> None:
        device = self.place.device if where == "device" else IDLE
        began = time.perf_counter()
        with out_of_memory_said(f"moving the model '{_name(spec)}' to {device}"):
            move(one.model, device)
        one.where = where
        self._say_moved(spec, one, device, began)

    def _group(self, spec: ModelSpec, one: _Resident) -> None:
        began = time.perf_counter()
        group_offload(one.model, self.place.device)
        one.where = "grouped"
        self._say_moved(spec, one, f"{IDLE}, in groups to {self.place.device}", began)

    def _say_moved(self, spec: ModelSpec, one: _Resident, device: str, began: float) -> None:
        free_cache()
        seconds = time.perf_counter() - began
        moved = ModelMoved(
            job="", model=_name(spec), device=device, seconds=seconds, size_bytes=one.size_bytes
        )
        self._publish(moved)

    def _make_room(self, wanted_bytes: int, keep: ModelSpec | None = None) -> None:
        budget = self.place.budget_bytes
        for spec, one in [*self._resident.items()]:
            if self.size_bytes + wanted_bytes <= budget:
                break
            if spec == keep or spec in self._used or one.where != "device":
                continue
            if self.place.offloads:
                self._move(spec, one, "idle")
            else:
                self.evict(spec, f"the models' budget of {budget} bytes is full")
        self._bound_idle()

    def _bound_idle(self) -> None:
        for spec in self.offloaded:
            if self.idle_bytes <= self.place.idle_bytes:
                return
            self.evict(spec, f"the budget for idle models of {self.place.idle_bytes} bytes is full")


def _name(spec: ModelSpec) -> str:
    return spec.weights.name or spec.weights.path
