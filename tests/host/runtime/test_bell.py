from __future__ import annotations

import threading
from multiprocessing.connection import wait

from stretto.host.runtime.bell import Bell


def test_ringing_twice_wakes_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert wait([bell.ear], 0) == [bell.ear]
    bell.hush()
    assert wait([bell.ear], 0) == []
    bell.ring()
    assert wait([bell.ear], 0) == [bell.ear]
    bell.close()


def test_another_thread_wakes_the_waiter() -> None:
    bell = Bell()
    threading.Timer(0.05, bell.ring).start()
    assert wait([bell.ear], 5) == [bell.ear]
    bell.close()


def test_after_close_it_is_silent() -> None:
    bell = Bell()
    bell.close()
    bell.ring()
    bell.close()
