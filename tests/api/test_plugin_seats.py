"""Seats for handlers of plugins: who gets one, who waits, who is sent away."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from stretto.api.plugin_seats import LINE_S, PATIENCE_S, PluginSeats
from stretto.host.errors import UnavailableError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_plugin_gets_all_but_one_and_others_the_last(clock):
    seats = PluginSeats(3, clock)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(seats.taken("slow", "GET /api/slow"))
        clock.now = PATIENCE_S
        with pytest.raises(
            UnavailableError, match=r"as GET /api/slow of the plugin 'slow' has had one for 1 s"
        ):
            stack.enter_context(seats.taken("slow", "GET /api/slow"))
        stack.enter_context(seats.taken("other", "GET /api/other"))
        clock.now += PATIENCE_S
        with pytest.raises(UnavailableError, match="'slow' has had one for 2 s"):
            stack.enter_context(seats.taken("third", "GET /api/third"))
    with seats.taken("third", "GET /api/third"):
        pass


@pytest.mark.parametrize("most", [-1, 0, 1])
def test_there_is_always_one(clock, most):
    seats = PluginSeats(most, clock)
    with seats.taken("a", "GET /api/a"):
        clock.now = PATIENCE_S
        with pytest.raises(UnavailableError), seats.taken("b", "GET /api/b"):
            pass


def test_a_seat_is_free_again_after_an_error(clock):
    seats = PluginSeats(1, clock)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), seats.taken("a", "GET /api/a"):
            raise ZeroDivisionError
    with seats.taken("a", "GET /api/a"):
        pass


def test_who_comes_later_waits_for_those_before_and_is_let_in_in_turn(clock):
    seats, order, came = PluginSeats(1, clock), [], threading.Semaphore(0)

    def come(number: int) -> None:
        came.release()
        with seats.taken("a", "GET /api/a"):
            order.append(number)

    threads = []
    with seats.taken("a", "GET /api/a"):
        for number in range(5):
            threads.append(threading.Thread(target=come, args=(number,)))
            threads[-1].start()
            assert came.acquire(timeout=30)
            while len(seats._line) <= number:
                threading.Event().wait(0.001)
        assert order == []
    for thread in threads:
        thread.join(30)
    assert order == [0, 1, 2, 3, 4]


def test_nobody_stands_in_line_for_ever_while_others_come_and_go(clock):
    seats, sent_away = PluginSeats(1, clock), []

    def come() -> None:
        try:
            with seats.taken("b", "GET /api/b"):
                pass
        except UnavailableError as error:
            sent_away.append(str(error))

    first, second = seats.taken("a", "GET /api/a"), seats.taken("c", "GET /api/c")
    first.__enter__()
    thread = threading.Thread(target=come)
    thread.start()
    while not seats._line:
        threading.Event().wait(0.001)
    clock.now = LINE_S
    with seats._freed:  # nobody else sees that the seat is free in between
        first.__exit__(None, None, None)
        second.__enter__()
    thread.join(30)
    second.__exit__(None, None, None)
    assert sent_away == [
        (
            "no thread is free for this route, as GET /api/c of the plugin 'c' has had one for 0 s; come again, and "
            "have the author of that one give it a time limit"
        )
    ]
