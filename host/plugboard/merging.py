"""Values merged into a table of TOML as RFC 7396 merges JSON: tables key by key, all else whole; comments stay.

A null takes a key out, at every depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["add", "merge", "merged"]


def merged(before: object, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a table is to mean after a merge, as plain values."""
    made = dict(before) if isinstance(before, Mapping) else {}
    for key, value in values.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value) if isinstance(value, Mapping) else value
    return made


def merge(table: Any, values: Mapping[str, Any]) -> None:
    """Merge values into a table of a tomlkit document; raises what tomlkit does for values that TOML has not."""
    for key, value in values.items():
        there = key in table
        if value is None:
            _take_out(table, key)
        elif there and isinstance(value, Mapping) and isinstance(table[key], Mapping):
            merge(table[key], value)
        elif there and not _of_tables(value) and not _of_tables(table[key]):
            table[key] = value
        else:
            _take_out(table, key)  # what has a head of its own does not stand among what has none
            add(table, key, merged(None, value) if isinstance(value, Mapping) else value)


def _of_tables(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(entry, Mapping) for entry in value)
    return isinstance(value, Mapping)


def add(table: Any, key: str, value: object) -> None:
    """Add a key after a table's last one, not after the blank lines and comments before the next table."""
    import tomlkit

    if not _bodies(table):  # within a line, or in several places
        table[key] = value
        return
    tail = _cut(table)
    if _of_tables(value):
        table.add(tomlkit.nl())
    table.add(key, value)
    _bodies(table)[-1].extend(tail)


def _take_out(table: Any, key: str) -> None:
    """Take a key out; the comments after a table, which are the next one's, stay in its place."""
    from tomlkit.items import Whitespace

    if key not in table:
        return
    old = table[key]
    body: list[Any] = next(iter(_bodies(table)), [])
    tail = "".join(item.as_string() for _, item in _cut(old))
    at = next((i for i, (name, _) in enumerate(body) if name is not None and name.key == key), None)
    table.pop(key)
    if at is not None and tail:
        body[at] = (None, Whitespace(tail))


def _cut(table: Any) -> list[Any]:
    """Cut off the blank lines and comments at a table's end, which the last of its own tables holds."""
    bodies = _bodies(table)
    tail: list[Any] = []
    while bodies and bodies[-1] and bodies[-1][-1][0] is None:
        tail.append(bodies[-1].pop())
    return tail[::-1]


def _bodies(table: Any) -> list[Any]:
    """Give the entries of a table, of the last table in it, and so on to the end of the text."""
    from tomlkit.items import AoT, InlineTable, Table

    found: list[Any] = []
    while isinstance(table, (Table, AoT)) and not isinstance(table, InlineTable):
        if isinstance(table, AoT):
            table = table[-1] if len(table) else None
            continue
        body = table.value.body
        found.append(body)
        table = body[-1][1] if body else None
    return found
