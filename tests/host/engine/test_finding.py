"""The engine of an order, and those that stand in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stretto.host.contracts.acceleration import Build
from stretto.host.contracts.engines import Component
from stretto.host.contracts.request import InvocationRequest
from stretto.host.engine.finding import find_engine, flags_of, policy_of
from stretto.host.runtime.host import Host
from stretto.plugins.compilers import tensorrt
from stretto.plugins.compilers.torch_compile import OFFERS as TORCH
from stretto.trt_cache.keys import AxisRange
from stretto.trt_cache.store import EngineStore, State

from ...trt_cache.engines import KEY, key, put

RTX = {offer.name: offer for offer in tensorrt.OFFERS}["tensorrt_rtx"]


class Plain:
    def version(self) -> str:
        return "1"

    target = targets = build = unable = open = version

    def flags(self) -> tuple[str, ...]:
        return ("plain",)


class Refitting(Plain):
    def flags_for(self, target: str) -> tuple[tuple[str, ...], ...]:
        return (("plain", "refittable"), ("plain",)) if target == "sm89" else (("plain",),)


PLAIN: Any = Plain()  # what is not called need not have the right types
REFITTING: Any = Refitting()
BUILT = key(target="sm89", flags=("plain",))  # ahead of time, elsewhere
WANTED = key(target="sm89", flags=("plain", "refittable"))


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path)


def test_flags_may_depend_on_the_target() -> None:
    assert flags_of(PLAIN, "sm89") == (("plain",),)
    assert flags_of(REFITTING, "sm89")[0] == ("plain", "refittable")
    assert flags_of(REFITTING, "sm120") == (("plain",),)


def test_an_engine_from_elsewhere_serves_until_there_is_one_that_takes_weights(store: EngineStore) -> None:
    assert BUILT.digest != WANTED.digest
    assert find_engine(store, WANTED, REFITTING, "static") is None
    built = put(store, BUILT)
    for policy in (None, "static", "range"):
        found = find_engine(store, WANTED, REFITTING, policy)
        assert found is not None
        assert found.digest == built.digest
    own = put(store, WANTED)
    found = find_engine(store, WANTED, REFITTING, None)
    assert found is not None
    assert found.digest == own.digest


def test_what_takes_weights_does_not_serve_who_wants_none_that_do(store: EngineStore) -> None:
    put(store, WANTED)
    assert find_engine(store, BUILT, PLAIN, None) is None


def test_an_engine_that_failed_its_check_stands_for_no_other(store: EngineStore) -> None:
    store.quarantine(put(store, BUILT).digest, {"why": "off"})
    assert find_engine(store, WANTED, REFITTING, None) is None


def test_wider_ranges_of_other_flags_stand_in_too_but_for_who_wants_one_size(store: EngineStore) -> None:
    wide = tuple((name, AxisRange(min=1, opt=span.opt, max=256)) for name, span in KEY.axes)
    wider = put(store, replace(BUILT, axes=wide))
    found = find_engine(store, WANTED, REFITTING, None)
    assert found is not None
    assert (found.digest, found.state) == (wider.digest, State.UNVERIFIED)
    assert find_engine(store, WANTED, REFITTING, "static") is None


def test_a_policy_may_depend_on_the_target() -> None:
    (torch,) = TORCH
    assert [policy_of(torch, target) for target in ("sm89", "cpu-x86_64-0")] == ["static", "range"]
    assert policy_of(RTX, "sm89") == "static"


def test_keys_of_one_network_differ_where_its_engine_takes_weights(
    open_host: Callable[..., Host], tiny_sd1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why := RTX.missing():
        pytest.skip(why)
    host = open_host(models={"tiny": tiny_sd1})
    machine = host._here()
    spec = host.plan(InvocationRequest(prompt="x", model="tiny")).base()
    model = machine.pool.get(replace(spec, precision=machine.precision(None)))
    build = Build(component=Component.VAE_DECODER, compiler="tensorrt_rtx", target="sm89")
    ahead = machine.engines.order(model, build, 64).key
    monkeypatch.setattr(tensorrt, "_capability", lambda _device: "sm89")
    here = machine.engines.order(model, build, 64).key
    assert set(here.flags) - set(ahead.flags) == {"refittable"}
    assert here.digest != ahead.digest
    assert replace(here, flags=ahead.flags) == ahead
