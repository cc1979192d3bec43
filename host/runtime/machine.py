"""The device and what stays on it from job to job: resident models and remembered values."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..contracts.models import ModelSpec, Precision
from ..contracts.protocols import HostView, LoadedModel, Loader
from ..errors import WeightsError

if TYPE_CHECKING:
    from ..engine.pool import ModelPool

__all__ = ["Machine", "Memo", "offline", "pool_budget_bytes"]

_MEMO_ENTRIES = 128  # SDXL's text embeddings are 0.6 MB a prompt
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


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
        from ..engine.pool import ModelPool

        self.device = device
        self.memo = Memo()
        self._host = host
        self._loaders: dict[str, Loader] = {}
        budget = host.settings.pool_budget_bytes
        self.pool: ModelPool = ModelPool(
            pool_budget_bytes(device) if budget is None else budget,
            load=self._load,
            publish=host.publish,
        )

    @classmethod
    @contextmanager
    def open(cls, host: HostView) -> Iterator[Self]:
        """Find the device and make an empty pool; models leave it at the end."""
        with offline():
            from ..engine.device import pick_device

            machine = cls(host, pick_device(None))
            try:
                yield machine
            finally:
                machine.memo.clear()
                machine.pool.close()

    def precision(self, asked: Precision | None) -> Precision:
        """Decide what to compute in: what the plan says, else the settings, else the device's best."""
        from ..engine.device import pick_precision

        setting = self._host.settings.precision
        return pick_precision(asked or (Precision(setting) if setting else None), self.device)

    def _load(self, spec: ModelSpec) -> LoadedModel:
        loaded = self._loader_of(spec).load(spec, self.precision(spec.precision), self.device)
        if spec.difference is None:
            return loaded
        from ..engine.difference import add_difference

        model, base = (
            self._load(replace(spec, weights=file, difference=None))
            for file in (spec.difference.model, spec.difference.base)
        )
        return add_difference(loaded, model, base)

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
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:  # not Linux, or no control groups
        limit = "max"
    return int((min(total, int(limit)) if limit.isdecimal() else total) * 0.6)
