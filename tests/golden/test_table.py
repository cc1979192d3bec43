"""The page of the contract's examples is what the examples say."""

from __future__ import annotations

from .table import PAGE, page
from .test_examples import EXAMPLES, call_of


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_example_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name, example in EXAMPLES.items() if f"`{' '.join(call_of(example))}`" not in text] == []
