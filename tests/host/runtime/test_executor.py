from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stretto.host.contracts.costs import Measured
from stretto.host.contracts.events import Planned, StepFinished, StepStarted
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import Diffuse, Save
from stretto.host.errors import CancelledError, EngineError, PluginError, WeightsError
from stretto.host.hookspecs import hookimpl
from stretto.host.planning.order import order
from stretto.host.plugboard.board import Board
from stretto.host.plugboard.switches import Switches
from stretto.host.runtime.executor import conduct, execute, failure


class Answers:
    """A core that does every step in its own way."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.seen: list[Any] = []

    @hookimpl
    def run_step(self, step: Any, frame: Any) -> Any:
        self.seen.append((type(step), frame.files))
        return self.answer(step, frame)


@pytest.fixture
def board_of(here: Any) -> Any:
    host, _ = here
    return lambda core: Board.open(Switches(autoload=False), host, [core], built_ins=())


def test_each_step_gets_the_frame_of_the_one_before(board_of: Any, desk: Any) -> None:
    core = Answers(lambda step, frame: Frame(files=(*frame.files, type(step).__name__)))
    bench, told = desk()
    frame = execute(board_of(core), bench)
    assert frame.files == ("Diffuse", "Save")
    assert core.seen == [(Diffuse, ()), (Save, ("Diffuse",))]
    why = tuple(step.why for step in order(bench.plan))
    assert (told[0].steps, told[0].total) == (why, 10)  # nine steps and one to decode
    assert [type(event) for event in told] == [Planned, *[StepStarted, StepFinished] * 2]


def test_a_step_sees_what_is_still_ahead_of_it_in_its_run(board_of: Any, desk: Any) -> None:
    def noting(step: Any, frame: Any) -> Any:
        seen.append((type(step), [type(after) for after in bench.ahead]))
        return frame

    seen: list[Any] = []
    bench, _ = desk()
    bench.plan = replace(bench.plan, iterations=2)
    execute(board_of(Answers(noting)), bench)
    assert seen == [(Diffuse, [Save]), (Save, [])] * 2


def test_what_a_job_ends_with(board_of: Any, desk: Any) -> None:
    def noting(_: Any, frame: Any) -> Any:
        bench.note("seen")
        return Frame(files=("a.png",))

    bench, told = desk()
    done = conduct(board_of(Answers(noting)), bench)
    assert (done.job, done.images, done.notes) == (bench.job, ("a.png",), ("seen",))
    assert done.number == 7
    measured = told[-1]
    assert isinstance(measured, Measured)
    assert measured.number == 6
    assert [stage.kind for stage in measured.stages] == ["Diffuse", "Save"]
    assert 0 < done.seconds < 5


@pytest.mark.parametrize("answer", [None, "a frame"])
def test_a_step_that_nobody_does_or_that_gives_no_frame(board_of: Any, desk: Any, answer: Any) -> None:
    bench, _ = desk()
    with pytest.raises(EngineError, match=f"gave {type(answer).__name__} for Diffuse"):
        execute(board_of(Answers(lambda *_: answer)), bench)


def test_a_plugins_own_error_names_it(here: Any, desk: Any) -> None:
    bench, _ = desk("bad")
    with pytest.raises(PluginError, match=r"'actor' raised in run_step: .*no such luck"):
        execute(here[0].board, bench)


def test_failures_in_words() -> None:
    assert failure(WeightsError("bad file")) == ("WeightsError", "bad file")
    assert failure(CancelledError("stopped")) == ("CancelledError", "stopped")
    assert failure(ZeroDivisionError("by zero")) == ("EngineError", "ZeroDivisionError: by zero")
    title, words = failure(MemoryError("7 GB"))
    assert title == "OutOfMemoryError"
    assert "7 GB" in words
    assert "lower width" in words


def test_iterations_one_after_the_other(board_of: Any, desk: Any) -> None:
    def saving(step: Any, frame: Any) -> Any:
        bench.note(f"seed {bench.plan.seed}")
        return Frame(files=(*frame.files, f"{bench.plan.seed}.png")) if isinstance(step, Save) else frame

    bench, told = desk()
    bench.plan = replace(bench.plan, iterations=3)
    frame = execute(board_of(Answers(saving)), bench)
    assert frame.files == ("1.png", "2.png", "3.png")
    assert told[0].total == 30
    assert len(told[0].steps) == 6
    assert (bench.plan.seed, bench.plan.iterations) == (1, 3)
    assert bench.plan.notes == ("seed 1", "seed 2", "seed 3")


def test_a_stop_ends_all_iterations(board_of: Any, desk: Any) -> None:
    def stopping(step: Any, frame: Any) -> Any:
        bench._cancelled = lambda: isinstance(step, Save)
        return frame

    bench, told = desk()
    bench.plan = replace(bench.plan, iterations=3)
    core = Answers(stopping)
    with pytest.raises(CancelledError):
        execute(board_of(core), bench)
    assert [kind for kind, _ in core.seen] == [Diffuse, Save]
    assert bench.plan.iterations == 3
    assert told
