"""The device and what stays on it from job to job: resident models and remembered values."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..catalog.digests import Digests
from ..contracts.models import ModelSpec, Precision, Role, WeightFile
from ..contracts.plan import Plan
from ..contracts.protocols import HostView, LoadedModel, Loader
from ..errors import WeightsError
from .hands import Hands
from .limits import limited, usable_ram_bytes
from .seal import Seal

if TYPE_CHECKING:
    from ..engine.compiled import Engines
    from ..engine.pool import ModelPool

__all__ = ["Machine", "Memo", "offline", "pool_budget_bytes"]

_MEMO_ENTRIES = 128  # SDXL's text embeddings are 0.6 MB a prompt
# What a job's record says when a second model draws in it, by switch_mode and whether the device is the CPU.
_SWITCHED = {
    ("offload", False): "switch_mode offload: one model waits in RAM while another one draws",
    (
        "offload",
        True,
    ): "switch_mode offload: the device is the CPU, so models stay in RAM and nothing is moved",
    ("unload", False): "switch_mode unload: one model is let go of before another one draws",
    ("unload", True): "switch_mode unload: one model is let go of before another one draws",
    (None, False): "switch_mode null: all models stay on the device, within the pool's budget",
    (None, True): "switch_mode null: all models stay in RAM, within the pool's budget",
}


# Read by the hub's libraries when they are first imported.
_HUB = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
# Read by OpenMP when torch is first imported. Its threads spin while they wait for each other, which on
# busy cores made a picture of 4 s take 70 s; asleep they cost nothing. A value that is set stays.
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def offline() -> Iterator[None]:
    """Have the hub's libraries neither ask the network nor draw bars, and idle threads sleep."""
    wanted = _HUB | {name: value for name, value in _THREADS.items() if name not in os.environ}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Memo:
    """What was made before by key, the least recently used forgotten first."""

    def __init__(self, capacity: int = _MEMO_ENTRIES) -> None:
        self._capacity = capacity
        self._made: OrderedDict[tuple[object, ...], Any] = OrderedDict()

    def get(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """Give the value of `key`, made now if it is not there."""
        if key not in self._made:
            self._made[key] = make()
        self._made.move_to_end(key)
        while len(self._made) > self._capacity:
            self._made.popitem(last=False)
        return self._made[key]

    def clear(self) -> None:
        """Forget everything."""
        self._made.clear()


class Machine:
    """One device with its model pool; imports torch when it is opened."""

    def __init__(self, host: HostView, device: str) -> None:
        from ..engine.copies import Copies
        from ..engine.pool import ModelPool, Place

        self.device = device
        self.memo = Memo()
        self.hands = Hands()
        self._digests = Digests(host.folders.root / "cache" / "sha256.json")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._drew: ModelSpec | None = None
        self._note: Callable[[str], None] = lambda _text: None
        self._copies = Copies(folder=host.folders.copies, mode=host.settings.cache_mode)
        self._copies.sweep()
        self._host = host
        self._engines: Engines | None = None
        self._builds_beside = False
        self._loaders: dict[str, Loader] = {}
        self.bound_bytes: int | None = None
        settings, budget = host.settings, host.settings.pool_budget_bytes
        place = Place(
            device=device,
            budget_bytes=pool_budget_bytes(device) if budget is None else budget,
            idle_bytes=pool_budget_bytes("cpu"),
            switch_mode=settings.switch_mode,
        )
        self.pool: ModelPool = ModelPool(place, load=self._load, publish=host.publish)

    @classmethod
    @contextmanager
    def open(cls, host: HostView, *, builds_beside: bool = False) -> Iterator[Self]:
        """Find the device and make an empty pool; models leave it at the end.

        `builds_beside` says that another process builds the engines that drawing misses.
        """
        with offline():
            from ..engine.device import pick_device

            machine = cls(host, pick_device(None))
            machine._builds_beside = builds_beside
            with limited(host.settings.memory_limit_bytes, machine.device) as machine.bound_bytes:
                try:
                    yield machine
                finally:
                    machine.hands.close()
                    if machine._engines is not None:
                        machine._engines.close()
                    machine._stop_reading()
                    machine.memo.clear()
                    machine.pool.close()

    def precision(self, asked: Precision | None) -> Precision:
        """Decide what to compute in: what the plan says, else the settings, else the device's best."""
        from ..engine.device import pick_precision

        setting = self._host.settings.precision
        return pick_precision(asked or (Precision(setting) if setting else None), self.device)

    @property
    def engines(self) -> Engines:
        """Give the compiled engines of this process."""
        if self._engines is None:
            from stretto.trt_cache.store import EngineStore

            from ..engine.compiled import Engines

            store = EngineStore(self._host.folders.engines)
            self._engines = Engines(self._host, store, self.device, self.digest)
            self._engines.builds_beside = self._builds_beside
        return self._engines

    def digest(self, file: WeightFile) -> str:
        """Give the SHA-256 of a file of weights, which is read once; raises OSError for what cannot be read."""
        return self._reader.submit(self._digests.of, Path(file.path)).result()

    def seal(self, plan: Plan) -> Seal:
        """Begin to read a plan's files for their SHA-256, beside the drawing."""
        return Seal(plan, self._digests.of, self._reader)

    def given(self, spec: ModelSpec, note: Callable[[str], None]) -> LoadedModel:
        """Give a model from the pool; `note` hears what becomes of another one that drew before it in this job."""
        if spec.role is not Role.CONTROLNET and spec.role is not Role.SAFETY:
            if self._drew not in (None, spec):
                note(_SWITCHED[self.pool.place.switch_mode, self.device == "cpu"])
            self._drew = spec
        self._note = note
        return self.pool.get(spec)

    def rest(self, *, job: bool = False) -> None:
        """Hear that a step begins, or a job: no model is at work."""
        self.pool.rest()
        self._drew = None if job else self._drew

    def relieve(self) -> str | None:
        """Free the device of models that can go, and say how many; None if there are none."""
        count = self.pool.relieve()
        if not count:
            return None
        if self.device == "cpu":
            return f"{count} idle models were let go of"
        return f"{count} models keep their weights in RAM, and come to the device in groups or when they are used"

    def _stop_reading(self) -> None:
        self._digests.close()
        self._reader.shutdown(cancel_futures=True)

    def _load(self, spec: ModelSpec, device: str) -> LoadedModel:
        loaded = self._read(spec, device)
        if spec.difference is None:
            return loaded
        from ..engine.difference import add_difference

        model, base = (
            self._load(replace(spec, weights=file, difference=None), device)
            for file in (spec.difference.model, spec.difference.base)
        )
        return add_difference(loaded, model, base)

    def _read(self, spec: ModelSpec, device: str) -> LoadedModel:
        """Load from a checkpoint's copy in the cache, or from the file, which then gets one if it should."""
        precision = self.precision(spec.precision)
        if not self._copies.wants(spec):
            return self._loader_of(spec).load(spec, precision, device)
        copy, name = self._copies.find(spec.weights, precision), spec.weights.name or spec.weights.path
        if copy is not None:
            try:
                copied = replace(spec, weights=copy)
                return replace(self._loader_of(copied).load(copied, precision, device), spec=spec)
            except WeightsError as error:
                self._note(f"the copy of '{name}' cannot be used ({error}); it is made anew")
                self._copies.drop(copy)
        loaded = self._loader_of(spec).load(spec, precision, device)
        began = time.perf_counter()
        kept = self._copies.keep(loaded, precision)
        done = f"kept in {time.perf_counter() - began:.1f} s" if kept.path else f"not kept: {kept.why}"
        self._note(f"cache_mode {self._copies.mode}: a copy of '{name}' in diffusers' format is {done}")
        return loaded

    def _loader_of(self, spec: ModelSpec) -> Loader:
        offers = self._host.offers("loaders")
        for name, offer in offers.items():
            if name not in self._loaders:
                self._loaders[name] = offer.build()
            if self._loaders[name].accepts(spec.weights):
                return self._loaders[name]
        raise WeightsError(
            f"no loader reads {spec.weights.path} ({spec.weights.kind}, family {spec.weights.family}); "
            f"loaders here: {', '.join(offers) or 'none, see `stretto plugins list`'}"
        )


def pool_budget_bytes(device: str) -> int:
    """Give what resident models may take: 85 % of a CUDA device, else 60 % of the usable RAM."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory * 0.85)
    return int(usable_ram_bytes() * 0.6)
