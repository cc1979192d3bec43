"""Folds `run_step` over a plan's steps; all that it knows of a step is why it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..contracts.events import Finished
from ..contracts.protocols import Frame
from ..errors import EngineError, OutOfMemoryError, StrettoError
from ..planning.estimate import progress_ticks
from ..planning.order import order
from ..plugboard.culprit import reason
from ..plugboard.wanted import require_plugins
from .ladder import climb
from .room import roomy

if TYPE_CHECKING:
    from ..contracts.steps import Step
    from ..plugboard.board import Board
    from .bench import JobBench

__all__ = ["conduct", "execute", "failure"]


@roomy
def conduct(board: Board, bench: JobBench) -> Finished:
    """Do the bench's job from its plan to its pictures; raises what a step raises."""
    earlier = board.ledger.take()  # told with this job, and not of it
    try:
        require_plugins(board, bench.plan)
        frame = execute(board, bench)
        bench.identify()
    except BaseException as error:
        blamed = board.calls.blamed(error)
        if blamed is error:
            raise
        raise blamed from error
    finally:
        for line in board.calls.watch.said():
            bench.note(line)
        bench.plan = replace(bench.plan, costs=board.ledger.take())
        bench.publish(bench.meter.measured(bench.job, (*earlier, *bench.plan.costs), bench.plan))
    done = Finished(
        job=bench.job,
        images=frame.files,
        seconds=bench.seconds,
        notes=bench.plan.notes,
        acceleration=bench.plan.acceleration,
    )
    return bench.stamped(done)


def execute(board: Board, bench: JobBench) -> Frame:
    """Order each iteration of the plan and hand every step the pictures of the one before."""
    runs = [(run, order(run)) for run in bench.plan.runs()]
    bench.begin([step.why for _, steps in runs for step in steps], progress_ticks(bench.plan))
    frame = Frame()
    for run, steps in runs:
        frame = Frame(files=frame.files)  # one run's pictures at a time
        with bench.during(run):
            for place, step in enumerate(steps, 1):
                bench.ahead = steps[place:]
                if not bench.ahead:  # which keeps pictures with their plan
                    bench.identify()
                with bench.stage(step.why), bench.meter.stage(type(step).__name__):
                    frame = _run(board, step, frame, bench)
    return frame


def _run(board: Board, step: Step, frame: Frame, bench: JobBench) -> Frame:
    return climb(step, bench, lambda: _done(board, step, frame, bench))


def _done(board: Board, step: Step, frame: Frame, bench: JobBench) -> Frame:
    result = board.first("run_step", Frame, step=step, frame=frame, bench=bench)
    if not isinstance(result, Frame):
        raise EngineError(
            f"run_step gave {type(result).__name__} for {type(step).__name__}; it must give a Frame, "
            "or None to leave the step to the next plugin"
        )
    return result


def failure(error: Exception) -> tuple[str, str]:
    """Give the title and the words that a failed job is recorded with; `error` may be unable to say itself."""
    if isinstance(error, StrettoError):
        return error.title, _words(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own
        what = f"the device has no room for this job ({_words(error)}); lower width, height, samples or size"
        return OutOfMemoryError.title, what
    return EngineError.title, reason(error)


def _words(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a plugin's own kind of error
        return reason(error)
