from __future__ import annotations

from typing import Any

import pytest
from stretto.host.contracts.acceleration import Acceleration
from stretto.host.contracts.costs import EngineUse, Spent, StageTook, TickTook
from stretto.host.runtime import meter as meter_module
from stretto.host.runtime.meter import Meter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Plan:
    acceleration: Any = None


@pytest.fixture
def clock() -> Clock:
    return Clock()


def measured(meter: Meter, plan: Any = Plan) -> Any:
    return meter.measured("job", (), plan)


def test_ticks_are_timed_from_one_to_the_next_of_the_same_task(clock: Clock) -> None:
    meter = Meter(clock)
    with meter.stage("Diffuse"):
        for task, ticks, seconds in (
            ("loading", 0, 9.0),  # what is done once is nobody's step
            ("drawing", 1, 0.5),
            ("drawing", 1, 0.5),
            ("drawing", 0, 0.5),  # a call that ends no step
            ("drawing", 3, 0.25),
            ("decoding", 3, 4.0),
        ):
            clock.now += seconds
            meter.tick(task, ticks)
    with meter.stage("Save"):
        clock.now += 0.125
    found = measured(meter)
    assert found.ticks == (
        TickTook(kind="Diffuse", seconds=0.5),
        TickTook(kind="Diffuse", seconds=0.25, count=3),
    )
    assert found.stages == (StageTook(kind="Diffuse", seconds=14.75), StageTook(kind="Save", seconds=0.125))


def test_a_step_that_fails_is_timed_too(clock: Clock) -> None:
    meter = Meter(clock)

    def fails() -> None:
        with meter.stage("Upscale"):
            clock.now += 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert measured(meter).stages == (StageTook(kind="Upscale", seconds=2.0),)


def test_no_job_tells_without_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "_MOST", 5)
    meter = Meter(clock)
    with meter.stage("Diffuse"):
        for _ in range(9):
            clock.now += 1
            meter.tick("drawing", 1)
    assert len(measured(meter).ticks) == 5


def test_plugins_and_engines_are_told_with_it() -> None:
    spent = Spent(plugin="p", hook="run_step", calls=1, seconds=0.5)

    class Accelerated:
        acceleration = Acceleration(requested="onnxruntime", used=("unet",), why=("vae_decoder: no room",))

    found = Meter().measured("job", [spent], Accelerated())  # type: ignore[arg-type]  # one field of a plan
    assert found.plugins == (spent,)
    assert found.engine == EngineUse(compiler="onnxruntime", used=("unet",), missed=1)
    assert measured(Meter()).engine is None
