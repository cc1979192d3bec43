"""Threads in turn."""

from __future__ import annotations

import threading
import time

import pytest
from stretto.api.recent import Recent
from stretto.api.turnstile import Turnstile


def test_threads_pass_in_turn():
    turnstile, inside, most = Turnstile(), [], []

    def work():
        with turnstile.turn(patience_s=20):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_slow_one_does_not_hold_up_the_next():
    turnstile = Turnstile()
    with turnstile.turn(), turnstile.turn(patience_s=0.01):
        pass
    with pytest.raises(ZeroDivisionError), turnstile.turn():
        1 / 0  # noqa: B018
    began = time.perf_counter()
    with turnstile.turn(patience_s=20):
        assert time.perf_counter() - began < 5


def test_a_value_is_read_again_when_it_is_old():
    now, read = [100.0], iter(range(10))
    recent = Recent(lambda: next(read), age_s=2.0, clock=lambda: now[0])
    assert [recent(), recent()] == [0, 0]
    now[0] += 1.9
    assert recent() == 0
    now[0] += 0.1
    assert [recent(), recent()] == [1, 1]
