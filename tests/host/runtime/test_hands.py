from __future__ import annotations

import threading

import pytest
from stretto.host.errors import OutOfMemoryError
from stretto.host.runtime.hands import SPOILT, Hands


def here() -> str:
    return threading.current_thread().name


@pytest.fixture
def hands():
    made = Hands()
    yield made
    made.close()


def spoil() -> None:
    raise OutOfMemoryError("the device is full") from RuntimeError(SPOILT)


def test_work_is_done_where_it_is_asked_for(hands):
    assert hands.do(here) == here()
    with pytest.raises(ValueError, match="other"):
        hands.do(lambda: int("other"))
    assert not hands.are_fresh


def test_an_error_that_stays_with_its_thread_is_left_behind_with_it(hands):
    with pytest.raises(OutOfMemoryError):
        hands.do(spoil)
    assert hands.are_fresh
    first, again = hands.do(threading.get_ident), hands.do(threading.get_ident)
    assert first == again != threading.get_ident()
    with pytest.raises(OutOfMemoryError):
        hands.do(spoil)
    assert hands.do(here) != here()
