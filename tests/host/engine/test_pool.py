"""Which models stay resident."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from stretto.host.contracts.events import ModelEvicted, ModelLoaded
from stretto.host.contracts.models import ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.pool import ModelPool, Place
from stretto.host.errors import OutOfMemoryError, WeightsError

KB = 1024


class Net(torch.nn.Module):
    dtype = torch.float32
    config = SimpleNamespace(addition_embed_type=None)

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(size_bytes // 4))


def spec(name: str, **changes) -> ModelSpec:
    weights = WeightFile(path=f"/models/{name}", name=name, kind=WeightKind.CHECKPOINT, fingerprint=name)
    return ModelSpec(role=Role.BASE, weights=weights, **changes)


def make(load_bytes: int = 10 * KB, budget: int = 25 * KB, fail=(), device: str = "cpu", **place):
    told, loads, failures = [], [], list(fail)

    def load(wanted: ModelSpec, device: str) -> LoadedModel:
        loads.append(wanted)
        if failures:
            raise failures.pop(0)
        return LoadedModel(
            spec=wanted, unet=Net(load_bytes - KB), vae=Net(KB),
            text_encoders=(), tokenizers=(), scheduler_config={}, options={},
        )  # fmt: skip

    where = Place(device=device, budget_bytes=budget, **place)
    return SimpleNamespace(pool=ModelPool(where, load, told.append), told=told, loads=loads)


def test_equal_specs_share_one_load():
    made = make()
    assert made.pool.get(spec("a")) is made.pool.get(spec("a"))
    assert made.loads == [spec("a")]
    (event,) = made.told
    assert isinstance(event, ModelLoaded)
    assert (event.model, event.size_bytes) == ("a", 10 * KB)


def test_another_precision_is_another_load():
    made = make()
    made.pool.get(spec("a"))
    made.pool.get(spec("a", precision=Precision.FLOAT16))
    assert len(made.loads) == 2


def test_the_least_recently_used_goes_first():
    made = make()
    for name in ("a", "b", "a", "c"):
        made.pool.get(spec(name))
    assert made.pool.resident == (spec("a"), spec("c"))
    assert made.pool.size_bytes == 20 * KB
    (evicted,) = [event for event in made.told if isinstance(event, ModelEvicted)]
    assert evicted.model == "b"
    assert str(25 * KB) in evicted.why


def test_a_known_size_makes_room_before_loading():
    made = make()
    made.pool.get(spec("a"))
    large = WeightFile(path="/models/x", kind=WeightKind.CHECKPOINT, size_bytes=20 * KB)
    made.pool.get(ModelSpec(role=Role.BASE, weights=large))
    assert [type(event) for event in made.told] == [ModelLoaded, ModelEvicted, ModelLoaded]


def test_a_model_larger_than_the_budget_still_works():
    made = make(load_bytes=50 * KB)
    made.pool.get(spec("a"))
    made.pool.get(spec("b"))
    assert made.pool.resident == (spec("b"),)


def test_closing_lets_everything_go():
    made = make()
    made.pool.get(spec("a"))
    made.pool.close()
    assert made.pool.resident == ()
    assert made.pool.size_bytes == 0
    made.pool.evict(spec("a"), "again")


def test_no_room_while_loading_evicts_the_others_and_tries_once_more():
    made = make()
    made.pool.get(spec("a"))
    later = make(fail=[MemoryError()])
    later.pool._resident = made.pool._resident
    later.pool.get(spec("b"))
    assert later.pool.resident == (spec("b"),)
    assert later.loads == [spec("b"), spec("b")]


def test_no_room_at_all_is_said():
    made = make(fail=[MemoryError()])
    with pytest.raises(OutOfMemoryError, match="loading the model 'a'"):
        made.pool.get(spec("a"))
    assert made.pool.resident == ()


def test_what_loading_raises_passes():
    made = make(fail=[WeightsError("broken file")])
    with pytest.raises(WeightsError):
        made.pool.get(spec("a"))
