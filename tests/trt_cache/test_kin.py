"""Which engine can take an engine's weights: the last one of the same architecture, and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from stretto.trt_cache.keys import AxisRange
from stretto.trt_cache.kin import covering, nearest_kin
from stretto.trt_cache.store import EngineStore, State

from .engines import ABOUT, KEY, key, put

KIND = replace(ABOUT, architecture="c" * 64)
WANTED = key(graph="1" * 64)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def test_the_verified_one_that_was_made_last_is_found(store: EngineStore) -> None:
    for digit in "234":
        made = put(store, key(graph=digit * 64), KIND)
        if digit != "4":  # which nothing is known of yet
            store.set_parity(made.digest, None, State.VERIFIED)
    found = nearest_kin(store.all(), WANTED, KIND.architecture)
    assert found is not None
    assert found.key.graph == "3" * 64
    store.quarantine(found.digest, {})
    left = nearest_kin(store.all(), WANTED, KIND.architecture)
    assert left is not None
    assert left.key.graph == "2" * 64
    assert nearest_kin(store.all(), left.key, KIND.architecture) is None  # itself is none


@pytest.mark.parametrize(
    "other",
    [
        {"component": "vae_decoder"},
        {"axes": (("batch", AxisRange.only(1)),)},
        {"precision": "float32"},
        {"compiler": "tensorrt_rtx"},
        {"version": "tensorrt 10.9"},
        {"target": "sm89"},
        {"flags": ()},
    ],
)
def test_all_but_the_weights_must_be_the_same(store: EngineStore, other: dict[str, object]) -> None:
    made = put(store, key(**other), KIND)
    store.set_parity(made.digest, None, State.VERIFIED)
    assert nearest_kin(store.all(), WANTED, KIND.architecture) is None


def test_another_architecture_or_none_has_no_kin(store: EngineStore) -> None:
    made = put(store, KEY)  # as the first releases wrote them
    store.set_parity(made.digest, None, State.VERIFIED)
    assert nearest_kin(store.all(), WANTED, "") is None
    assert nearest_kin(store.all(), WANTED, KIND.architecture) is None
    made = put(store, key(graph="5" * 64), KIND)
    store.set_parity(made.digest, None, State.VERIFIED)
    assert nearest_kin(EngineStore(store.root).all(), WANTED, "d" * 64) is None
    assert nearest_kin(EngineStore(store.root).all(), WANTED, KIND.architecture) is not None


def spans(*sides: int) -> tuple[tuple[str, AxisRange], ...]:
    low, tuned, high = sides
    side = AxisRange(min=low, opt=tuned, max=high)
    return (("batch", AxisRange(min=1, opt=2, max=4)), ("height", side), ("width", side))


def test_an_engine_of_a_range_stands_for_all_sizes_in_it(store: EngineStore) -> None:
    wide = put(store, key(axes=spans(8, 64, 128)))
    store.set_parity(wide.digest, None, State.VERIFIED)
    put(store, key(axes=spans(8, 16, 32)))
    wanted = key(axes=spans(96, 96, 96))
    found = covering(store.all(), wanted)
    assert found is not None
    assert found.digest == wide.digest
    assert (wide.key.static, wanted.static) == (False, True)
    assert covering(store.all(), key(axes=spans(129, 129, 129))) is None
    assert covering(store.all(), key(axes=(*wanted.axes, ("tokens", AxisRange.only(77))))) is None
    assert covering(store.all(), key(axes=wanted.axes, graph="9" * 64)) is None
    store.quarantine(wide.digest, {})
    assert covering(store.all(), wanted) is None
