from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable

import pytest
from stretto.host.plugboard.calls import Calls, Place
from stretto.host.plugboard.watch import Limits, Watch


def waiting(calls: Calls, place: Place) -> tuple[Callable[[], None], threading.Thread]:
    """Have a thread in a plugin's function until it is let go."""
    inside, go = threading.Event(), threading.Event()

    def sit_still() -> None:
        inside.set()
        assert go.wait(30)

    thread = threading.Thread(target=calls.called(place, sit_still))
    thread.start()
    assert inside.wait(30)
    return go.set, thread


def test_a_long_call_is_reported_once_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    calls = Calls(lambda: now[0])
    calls.watch.limits = Limits(hook_s=60.0)
    go, thread = waiting(calls, Place("slow", "observe"))
    with caplog.at_level(logging.WARNING):
        for now[0] in (59.0, 61.5, 90.0):
            calls.watch.look()
    go()
    thread.join()
    line = "the plugin 'slow' is in observe for 61.5 s, past its limit of 60 s"
    assert [message.partition(";")[0] for message in caplog.messages] == [line]
    assert "in sit_still" in caplog.messages[0]
    assert "go.wait(30)" in caplog.messages[0]
    assert calls.watch.said() == (line,)
    assert calls.watch.said() == ()
    (row,) = calls.ledger.take()
    assert (row.calls, row.overruns, row.seconds) == (1, 1, 90.0)
    calls.watch.look()
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(("limits", "count"), [(Limits(hook_s=1.0), 0), (Limits(hook_s=None, step_s=2.0), 1)])
def test_what_draws_has_a_limit_of_its_own(limits: Limits, count: int) -> None:
    now = [0.0]
    calls = Calls(lambda: now[0])
    calls.watch.limits = limits
    for place in (
        Place("mine", "run_step"),
        Place("mine", "loader.load", "load of the loader 'x'", drawing=True),
    ):
        go, thread = waiting(calls, place)
        now[0] += 5.0
        calls.watch.look()
        go()
        thread.join()
        assert len(calls.watch.said()) == count


def test_a_chore_that_fails_is_logged_and_done_again(caplog: pytest.LogCaptureFixture) -> None:
    watch, done = Calls().watch, threading.Event()
    turns: list[int] = []

    def chore() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise OSError("not now")
        done.set()

    watch.limits = Limits(hook_s=0.1)
    watch.chores.append(chore)
    with caplog.at_level(logging.ERROR):
        watch.open()
        assert done.wait(30)
    watch.close()
    assert "a chore of the plugins failed" in caplog.text


def test_the_thread_ends_with_who_holds_it() -> None:
    others = set(threading.enumerate())  # among them what another test's host has left, on its way out

    def alive() -> int:
        return sum(thread.name == "watch" for thread in threading.enumerate() if thread not in others)

    def opened() -> Watch:
        watch = Calls().watch
        watch.limits = Limits(hook_s=0.1)
        watch.open()
        return watch

    held = opened()
    assert alive() == 1
    del held
    gc.collect()
    for _ in range(200):
        if not alive():
            break
        threading.Event().wait(0.05)
    assert not alive()
