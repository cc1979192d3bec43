import logging
import threading
import time

import pytest
from stretto.host import Finished
from stretto.host.contracts.events import Event
from stretto.host.runtime import audience
from stretto.host.runtime.audience import Audience


def event(number: int) -> Event:
    return Finished(job="j", number=number)


def test_events_are_told_in_their_order_and_all_of_them_before_the_end():
    heard: list[tuple[int, str]] = []
    told = Audience(lambda one: heard.append((one.number, threading.current_thread().name)))
    told.hear(event(0))
    told.start()
    for number in range(1, 500):
        told.hear(event(number))
    told.close()
    told.close()
    told.hear(event(500))
    assert [number for number, _ in heard] == list(range(501))
    assert {name for _, name in heard[1:500]} == {"audience"}
    assert heard[0][1] == heard[500][1] == threading.current_thread().name


def test_who_tells_does_not_wait_and_what_cannot_wait_is_counted(caplog: pytest.LogCaptureFixture):
    gate, heard = threading.Event(), []

    def slow(one: Event) -> None:
        gate.wait(60)
        heard.append(one.number)

    told = Audience(slow, most=3)
    told.start()
    told.hear(event(0))
    while told._events.qsize():  # until it is being told
        time.sleep(0.001)
    for number in range(1, 6):
        told.hear(event(number))
    assert heard == []
    gate.set()
    while len(heard) < 4:
        time.sleep(0.001)
    told.hear(event(6))
    told.close()
    assert heard == [0, 1, 2, 3, 6]
    assert "2 events were not told to observers, for too many waited" in caplog.text


def test_one_that_never_ends_does_not_hold_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(audience, "PATIENCE_S", 0.05)
    gate, heard = threading.Event(), []

    def stuck(one: Event) -> None:
        heard.append(one.number)
        gate.wait(60)

    told = Audience(stuck)
    told.start()
    told.hear(event(1))
    told.close()
    told.hear(event(2))
    gate.set()
    assert heard == [1]
    assert "a plugin is still in observe" in caplog.text


def test_what_goes_wrong_is_logged_and_the_next_is_told(caplog: pytest.LogCaptureFixture):
    heard = []

    def wrong(one: Event) -> None:
        if one.number == 1:
            raise RuntimeError("no such luck")
        heard.append(one.number)

    told = Audience(wrong)
    told.start()
    with caplog.at_level(logging.ERROR):
        told.hear(event(1))
        told.hear(event(2))
        told.close()
    assert heard == [2]
    assert "no such luck" in caplog.text
