from __future__ import annotations

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le, MaxLen
from stretto.api.fields import expected, refuse, shown
from stretto.host.contracts.request import Adapter, InvocationRequest
from stretto.host.errors import Fault, InvalidRequestError


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[int, Ge(8), Le(64)], "a whole number from 8 to 64"),
        (Annotated[int, Ge(8), Le(64)] | None, "a whole number from 8 to 64"),
        (Annotated[float, Ge(1.0)], "a number of at least 1.0"),
        (float, "a number"),
        (bool, "true or false"),
        (str | None, "text"),
        (Annotated[str, MaxLen(5)], "text of at most 5 characters"),
        (Literal["a", "b"] | None, "one of a, b"),
        (tuple[Annotated[int, Ge(1)], ...], "a list, each a whole number of at least 1"),
        (Adapter, "an object with model, weight"),
        (dict[str, int], "an object"),
    ],
)
def test_what_a_field_takes_in_words(hint, words):
    assert expected(hint) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x" * 10**6, '"' + "x" * 60 + '..."'),
        ('say "ü"\n', '"say \\"ü\\"\\n"'),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        ([1] * 10**6, "a list of 1000000"),
        ({"a": 1}, "an object with 1 keys"),
        (10**200, "1" + "0" * 59 + "..."),
    ],
)
def test_offending_values_are_shortened(value, words):
    assert shown(value) == words


def test_no_fault_no_error():
    refuse(InvocationRequest, [])
    with pytest.raises(InvalidRequestError, match="width: is odd"):
        refuse(InvocationRequest, [Fault(field="width", message="is odd")])
