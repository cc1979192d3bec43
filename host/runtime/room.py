"""Room for Python's frames, so that no loop maps and unmaps memory at every turn.

CPython (3.11 and later) keeps the frames of a thread in pieces of 16 KiB. A loop whose calls reach over the end of one
has a piece mapped and unmapped at every turn, at some depths of the stack for a good part of its time. A frame that
alone needs a megabyte is given a piece of two, whose other half is room for all frames below it; pages that nothing
touches cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["roomy"]

P = ParamSpec("P")
R = TypeVar("R")

SLOTS = 2**17 + 2**10  # of eight bytes: more than half of two megabytes, with what a frame itself takes


def roomy(call: Callable[P, R]) -> Callable[P, R]:
    """Give a function whose calls, and all below them, have room for their frames."""

    def below(*args: P.args, **named: P.kwargs) -> R:
        return call(*args, **named)

    below.__code__ = below.__code__.replace(co_stacksize=SLOTS)
    return wraps(call)(below)
