from __future__ import annotations

import time
from typing import Any

import pytest
from PIL import Image
from stretto.host.contracts.events import ModelLoaded, Planned, StepFinished, StepProgress, StepStarted
from stretto.host.errors import CancelledError
from stretto.host.runtime.bench import TERMINATED, Rate
from stretto.host.runtime.machine import Memo


def _ticks(told: Any) -> Any:
    return [event for event in told if isinstance(event, StepProgress)]


def test_first_and_last_tick_are_told_and_no_more_than_ten_a_second(desk: Any) -> None:
    bench, told = desk()
    bench.begin(["draw"], 400)
    begun = time.monotonic()
    for _ in range(400):
        bench.tick("drawing")
        time.sleep(0.001)
    seconds = time.monotonic() - begun
    steps = [event.step for event in _ticks(told)]
    assert steps[0] == 1
    assert steps[-1] == 400
    assert steps.count(400) == 1
    assert len(steps) <= seconds * 10 + 3
    assert _ticks(told)[-1].rate == pytest.approx(400 / seconds, rel=0.5)


def test_events_of_a_job_are_numbered_from_where_it_stood(desk: Any) -> None:
    bench, told = desk(number=7)
    bench.begin(["draw"], 2)
    with bench.stage("draw"):
        bench.tick("drawing", ticks=2)
        bench.publish(ModelLoaded(job="", model="m"))
    kinds = [Planned, StepStarted, StepProgress, ModelLoaded, StepFinished]
    assert [type(event) for event in told] == kinds
    assert [event.number for event in told] == [8, 9, 10, 11, 12]
    assert {event.job for event in told} == {bench.job}
    assert all(abs(event.at - time.time()) < 60 for event in told)


def test_more_ticks_than_foreseen_raise_the_total(desk: Any) -> None:
    bench, told = desk()
    bench.begin(["draw"], 2)
    for _ in range(4):
        bench.tick("drawing")
    assert (_ticks(told)[-1].step, _ticks(told)[-1].total) == (4, 4)


def test_the_end_of_a_step_tells_what_was_held_back(desk: Any) -> None:
    bench, told = desk()
    bench.begin(["draw"], 100)
    with bench.stage("draw"):
        for _ in range(5):
            bench.tick("drawing")
    assert _ticks(told)[-1].step == 5


def test_saying_something_is_no_tick(desk: Any) -> None:
    bench, told = desk()
    bench.begin(["draw"], 10)
    for _ in range(50):
        bench.tick("loading", ticks=0)
    assert [(event.step, event.rate, event.task) for event in _ticks(told)] == [(0, None, "loading")]
    bench.tick("drawing")
    assert (_ticks(told)[-1].step, _ticks(told)[-1].rate) == (1, None)


def test_a_given_rate_goes_first(desk: Any) -> None:
    bench, told = desk()
    bench.tick("drawing", rate=99.0)
    assert _ticks(told)[-1].rate == 99.0


def test_a_stopped_job_ends_at_its_next_tick_model_or_step(desk: Any) -> None:
    bench, _ = desk(cancelled=lambda: True)
    with pytest.raises(CancelledError, match=TERMINATED):
        bench.tick("drawing")
    with pytest.raises(CancelledError), bench.stage("draw"):
        pytest.fail("begun all the same")
    with pytest.raises(CancelledError):
        bench.model(bench.plan.base())


def test_previews_are_files_that_the_next_tick_names(desk: Any) -> None:
    bench, told = desk()
    bench.begin(["draw"], 100)
    bench.tick("drawing")
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    bench.preview(lambda: pictures)
    bench.tick("drawing")
    names = tuple(f"{bench.job}_{i}.png" for i in range(2))
    assert _ticks(told)[-1].intermediates == names
    assert all((bench.folders.intermediates / name).is_file() for name in names)
    bench.preview(lambda: pictures[:1])
    bench.tick("drawing")
    assert _ticks(told)[-1].intermediates == (f"{bench.job}_2.png",)


def test_no_previews_are_made_for_a_plan_that_wants_none(desk: Any) -> None:
    bench, _ = desk(intermediates=False)
    bench.preview(lambda: pytest.fail("decoded for nothing"))


def test_notes_go_into_the_plan_once(desk: Any) -> None:
    bench, _ = desk()
    bench.note("a")
    bench.note("b")
    bench.note("a")
    assert bench.plan.notes == ("a", "b")


def test_what_was_made_is_remembered_from_job_to_job(desk: Any) -> None:
    bench, _ = desk()
    assert bench.cache(("text", "cat"), lambda: [1]) == [1]
    assert bench.cache(("text", "cat"), lambda: pytest.fail("made twice")) == [1]


def test_memo_forgets_the_least_recently_used() -> None:
    memo = Memo(capacity=2)
    for key in ("a", "b", "a", "c"):
        memo.get((key,), object)
    kept = memo.get(("a",), lambda: "again")
    assert kept != "again"
    assert memo.get(("b",), lambda: "again") == "again"


def test_rate_slides() -> None:
    rate = Rate(window_s=5)
    assert rate.mark(0.0, 0) is None
    assert rate.mark(1.0, 10) == 10
    for second in range(2, 20):
        last = rate.mark(float(second), 10 + second)
    assert last == 1
