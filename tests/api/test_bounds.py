"""Bounds in words."""

from __future__ import annotations

from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from stretto.api.bounds import bounded, counted


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((), "it"),
        ((Ge(1), Le(8)), "it from 1 to 8"),
        ((Ge(1),), "it of at least 1"),
        ((Le(8),), "it of at most 8"),
        ((Gt(0), Lt(1)), "it above 0 and below 1"),
        ((Ge(0), Lt(1)), "it of at least 0 and below 1"),
        ((MinLen(1), MaxLen(8)), "it of 1 to 8 characters"),
        ((MinLen(2),), "it of at least 2 characters"),
        ((MaxLen(8),), "it of at most 8 characters"),
        ((MultipleOf(8), Ge(8), Le(64)), "it that is a multiple of 8 from 8 to 64"),
        (("a note",), "it"),
    ],
)
def test_bounds_of_a_value(bounds: tuple[Any, ...], words: str) -> None:
    assert bounded("it", bounds) == words


def test_bounds_of_a_list() -> None:
    assert counted((MinLen(1), MaxLen(3))) == ", at least 1 and at most 3 of them"
    assert counted((MaxLen(3),)) == ", at most 3 of them"
    assert counted(()) == ""
