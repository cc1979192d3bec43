"""Which models stay resident."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from stretto.host.contracts.events import ModelEvicted, ModelLoaded, ModelMoved
from stretto.host.contracts.models import ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.components import settle
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


def drawn(made, *names, role=Role.BASE):
    """Use models one after the other, each in a step of its own."""
    for name in names:
        made.pool.rest()
        made.pool.get(replace(spec(name), role=role))


def kinds(made):
    return [(type(event).__name__, event.model) for event in made.told]


def test_unload_lets_go_of_one_model_before_another_draws():
    made = make(switch_mode="unload")
    drawn(made, "a")
    drawn(made, "net", role=Role.CONTROLNET)
    drawn(made, "b")
    assert made.pool.resident == (spec("b"),)
    assert kinds(made)[2:] == [("ModelEvicted", "a"), ("ModelEvicted", "net"), ("ModelLoaded", "b")]
    assert "switch_mode unload: 'b' works now" in made.told[2].why


def test_offload_keeps_one_model_in_ram_while_another_draws():
    """`meta` stands for a card: weights that are on it can be told from those that are not."""
    made = make(device="meta", switch_mode="offload", idle_bytes=50 * KB)
    drawn(made, "a", "b")
    assert made.pool.offloaded == (spec("a"),)
    assert (made.pool.size_bytes, made.pool.idle_bytes) == (10 * KB, 10 * KB)
    moved = made.told[1]
    assert isinstance(moved, ModelMoved)
    assert (moved.model, moved.device, moved.size_bytes) == ("a", "cpu", 10 * KB)
    back = made.pool.get(spec("a"))
    assert next(back.unet.parameters()).device.type == "meta"
    assert made.pool.offloaded == (spec("b"),)
    assert made.loads == [spec("a"), spec("b")]  # nothing was read twice


def test_what_is_offloaded_has_a_budget_of_its_own():
    made = make(device="meta", switch_mode="offload", idle_bytes=15 * KB)
    drawn(made, "a", "b", "c")
    assert made.pool.resident == (spec("b"), spec("c"))
    assert "budget for idle models" in made.told[-2].why


@pytest.mark.parametrize("mode", ["offload", None])
def test_on_the_cpu_and_without_a_mode_models_stay_where_they_are(mode):
    made = make(switch_mode=mode)
    drawn(made, "a", "b", "a")
    assert kinds(made) == [("ModelLoaded", "a"), ("ModelLoaded", "b")]
    assert made.pool.offloaded == ()


def test_what_serves_the_model_at_work_is_not_put_aside():
    made = make(device="meta", switch_mode="offload", budget=90 * KB, idle_bytes=50 * KB)
    drawn(made, "checker", role=Role.SAFETY)
    drawn(made, "a")
    drawn(made, "net", role=Role.CONTROLNET)
    assert made.pool.offloaded == ()
    drawn(made, "b")
    assert [one.weights.name for one in made.pool.offloaded] == ["a", "net"]


def test_models_at_work_stay_whatever_the_budget():
    made = make(budget=15 * KB)
    made.pool.get(spec("a"))
    for name in ("n", "m"):
        made.pool.get(replace(spec(name), role=Role.CONTROLNET))
    assert len(made.pool.resident) == 3
    drawn(made, "a")
    assert made.pool.resident == (spec("a"),)


def test_relief_on_the_cpu_lets_go_of_what_is_not_at_work():
    made = make(budget=90 * KB)
    drawn(made, "a", "b")
    assert made.pool.relieve() == 1
    assert made.pool.resident == (spec("b"),)
    assert made.pool.relieve() == 0


@torch.inference_mode()
def test_a_model_larger_than_a_card_passes_through_it_in_groups(tiny_sd1):
    """`cpu:0` stands for the card: not the name of where idle models are, and diffusers knows how to go there."""
    from stretto.host.catalog.probe import probe
    from stretto.plugins.loaders.folder import FolderLoader

    told, asked = [], []

    def load(wanted: ModelSpec, device: str) -> LoadedModel:
        asked.append(device)
        return FolderLoader().load(wanted, Precision.FLOAT32, device)

    def predicted(model: LoadedModel) -> torch.Tensor:
        latents, words = torch.ones(1, 4, 8, 8), torch.ones(1, 77, 64)
        return model.unet(latents, 1, encoder_hidden_states=words, return_dict=False)[0]

    pool = ModelPool(Place(device="cpu:0", budget_bytes=10 * KB, idle_bytes=2**40), load, told.append)
    large = replace(spec("large"), weights=replace(probe(tiny_sd1), size_bytes=50 * KB))
    model = pool.get(large)
    assert asked == ["cpu"]  # it was never whole on the card
    assert told[-1].device == "cpu, in groups to cpu:0"
    assert (pool.size_bytes, pool.offloaded) == (0, ())
    assert pool.idle_bytes > 0
    assert torch.equal(predicted(pool.get(large)), predicted(settle(load(large, "cpu"))))
    assert model is pool.get(large)


def test_relief_on_a_card_passes_the_model_at_work_through_it(tiny_sd1):
    from stretto.host.catalog.probe import probe
    from stretto.plugins.loaders.folder import FolderLoader

    told = []
    place = Place(device="cpu:0", budget_bytes=2**40, idle_bytes=2**40, switch_mode="offload")
    pool = ModelPool(
        place, lambda wanted, _: FolderLoader().load(wanted, Precision.FLOAT32, "cpu"), told.append
    )
    for name in ("a", "b"):
        pool.get(replace(spec(name), weights=replace(probe(tiny_sd1), name=name)))
    assert pool.relieve() == 1
    assert (told[-1].model, told[-1].device) == ("b", "cpu, in groups to cpu:0")
    assert pool.size_bytes == 0
    assert pool.relieve() == 0
