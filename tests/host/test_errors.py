"""Words of errors: the nearest of what is known."""

from __future__ import annotations

import pytest
from stretto.host.errors import did_you_mean, meant

KNOWN = ["ddim", "ddpm", "dpmsm", "eads", "eds", "starter"]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("ddmi", "ddim"),
        ("ddmp", "ddpm"),
        ("esad", "eads"),
        ("ddi", "ddim"),
        ("startr", "starter"),
        ("xyz", None),
    ],
)
def test_of_equally_near_words_the_one_of_the_same_letters_is_meant(word, near):
    assert meant(did_you_mean(word, KNOWN)) == near
    assert meant(did_you_mean(word, KNOWN[::-1])) == near
