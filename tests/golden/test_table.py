"""The page of the contract's examples is what the examples say."""

from __future__ import annotations

import json

from .table import INTRO, PAGE, page
from .test_examples import EXAMPLES, call_of


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_example_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name, example in EXAMPLES.items() if f"`{' '.join(call_of(example))}`" not in text] == []


def test_keys_of_the_status_beyond_the_examples_are_named() -> None:
    document = json.loads((PAGE.parent / "openapi.json").read_text(encoding="utf-8"))
    more = (
        document["components"]["schemas"]["Status"]["properties"].keys() - EXAMPLES["get-api"].answer["data"]
    )
    assert [key for key in more if f"`{key}` in `data` of `GET /api`" not in INTRO] == []
