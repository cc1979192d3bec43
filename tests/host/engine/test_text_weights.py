"""Prompt weights in the notation of A1111."""

from __future__ import annotations

import pytest
from stretto.host.engine.text_weights import Fragment, fragments


@pytest.mark.parametrize(
    "prompt", ["a cat", "", "16:9, f/2.8", "smile :)", "(", "a ] b", "C:\\folder", "( [ )"]
)
def test_plain_prompts_are_one_fragment_of_weight_one(prompt):
    assert fragments(prompt) == (Fragment(prompt, 1.0),)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("(cat)", [("cat", 1.1)]),
        ("((cat))", [("cat", 1.21)]),
        ("[cat]", [("cat", 0.909091)]),
        ("(cat:1.3)", [("cat", 1.3)]),
        ("(cat: .5 )", [("cat", 0.5)]),
        ("a (red:2) ball", [("a ", 1.0), ("red", 2.0), (" ball", 1.0)]),
        ("((cat):1.3)", [("cat", 1.43)]),
        ("(a [b] c:2)", [("a ", 2.0), ("b", 1.818182), (" c", 2.0)]),
        ("(a)(b)", [("ab", 1.1)]),
        (r"\(a\) \[b\] \\", [(r"(a) [b] " + "\\", 1.0)]),
        (r"(a \(b\):1.5)", [("a (b)", 1.5)]),
        ("(16:9)", [("16", 9.0)]),
        ("[a:b]", [("a:b", 0.909091)]),
        ("()", [("", 1.0)]),
        ("(cat", [("(cat", 1.0)]),
    ],
)
def test_weights(prompt, expected):
    assert fragments(prompt) == tuple(Fragment(text, weight) for text, weight in expected)
