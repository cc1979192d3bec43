"""The thread that computes, and a fresh one once a thread cannot compute any more.

When the CPU's memory is so full that oneDNN cannot even keep the code that it makes, the error stays with
the thread (Xbyak's error state is thread-local and is never cleared): whatever new it is asked for fails
from then on, however much room there is. Another thread of the same process knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..plugboard.culprit import reason

__all__ = ["SPOILT", "Hands"]

T = TypeVar("T")
SPOILT = "could not create a primitive"


class Hands:
    """Does work in the calling thread as long as that can be relied on; used by one thread."""

    def __init__(self) -> None:
        self._fresh: ThreadPoolExecutor | None = None

    @property
    def are_fresh(self) -> bool:
        """Say whether work is done in another thread than the caller's."""
        return self._fresh is not None

    def do(self, work: Callable[[], T]) -> T:
        """Give what `work` gives, or raise what it raises; after an error that stays, the next work is safe from it."""
        try:
            return work() if self._fresh is None else self._fresh.submit(work).result()
        except Exception as error:
            if SPOILT in _words(error):
                self.close()
                self._fresh = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hands")
            raise

    def close(self) -> None:
        """End the other thread, if there is one."""
        if self._fresh is not None:
            self._fresh.shutdown()
            self._fresh = None


def _words(error: BaseException) -> str:
    """Give the words of an error and of what it came from."""
    return f"{reason(error)} {_words(error.__cause__) if error.__cause__ is not None else ''}"
