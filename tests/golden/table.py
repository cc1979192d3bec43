"""Writes docs/reference/seed-examples.md: what each of the contract's examples asks, and how its answer is held to it.

`python -m tests.golden.table` at the repository's root, as `make docs` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .test_examples import EXAMPLES, LITERAL, MORE, NULL, Example, call_of, kind, status_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "seed-examples.md"
INTRO = """# The contract's examples

<!-- Written by tests/golden/table.py from tests/golden/examples; run `make docs`. -->

Each of these is a curl command with its answer, one file each under `tests/golden/examples`. `make test` runs every
command against a server of its own, and holds the answer to the one in the file: the same status, the same keys in the
same order, the same types; and where the last column says so, the same values (of a new user all but its `id`). Every
answer is held to [the OpenAPI document](openapi.json) as well.

Where an answer may differ from the example's:

- More keys than the example's: `data` of settings (settings of ours), `compilers` in `data` of `GET /api` (those that
  plugins offer), `plan` (our record of it), and the whole answer of a call that makes or changes a user, which has
  `data` in its place too.
- null for a value, or a value for null: `gpu` without a graphics card, the optional parts of a `plan`, and names.
- `POST /api/invoke` answers as soon as the job is on the disk, with `status` "queued" and `uuid`; the example's nine keys
  are those of the first poll.
"""
NAMES = {float: "number", str: "text", bool: "true or false", type(None): "null"}
SHAPED, EQUAL, PICTURE = "status, keys, types", "status, keys, types, values", "status, an RGB PNG"


def page() -> str:
    """Give the page: a table of the examples, then the keys and types of each."""
    rows = [
        f"| {number} | `{' '.join(call_of(example))}` | {status_of(name)} | {_shape(example.answer)} "
        f"| {_same(name, example)} |"
        for number, (name, example) in enumerate(EXAMPLES.items(), 1)
    ]
    heads = ["| | call | status | answer | the same |", "|---|---|---|---|---|"]
    keys = [
        _keys(number, name, example)
        for number, (name, example) in enumerate(EXAMPLES.items(), 1)
        if isinstance(example.answer, dict)
    ]
    return "\n".join([INTRO, *heads, *rows, "", "## Keys and types", "", *keys])


def _shape(answer: Any) -> str:
    if not isinstance(answer, dict):
        return "an image"
    return "errors" if "errors" in answer else "an object"


def _same(name: str, example: Example) -> str:
    if not isinstance(example.answer, dict):
        return PICTURE
    return EQUAL if name in LITERAL or name == "delete-invocation" else SHAPED


def _keys(number: int, name: str, example: Example) -> str:
    found: dict[str, set[str]] = {}
    for path, word in _leaves(example.answer):
        found.setdefault(path, set()).add(word)
    rows = [f"| `{path}` | {' or '.join(sorted(words))} |" for path, words in found.items()]
    return "\n".join([f"### {number} {name}", "", "| key | type |", "|---|---|", *rows, ""])


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, list) and value:
        for one in value:
            yield from _leaves(one, f"{path}[]")
    else:
        more = " (more keys may be there)" if path in MORE - {""} else ""
        null = " or null" if value is not None and NULL.fullmatch(path) else ""
        empty = {dict: "object", list: "list"}.get(type(value))
        yield path, (empty or NAMES[kind(value)]) + null + more


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
