"""`Settings` or `Parameters` of a plugin in its process: described, and asked what they say of values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..plugboard.tables import read_table
from .schema import constructed, described, made

__all__ = ["Declared"]


class Declared:
    """A dataclass that has passed `check_declared`, under its `word`, or None for a plugin without."""

    def __init__(self, kind: type | None, word: str) -> None:
        self._word = word
        self._description: dict[str, Any] | None = None
        self._kinds: list[type] = []
        if kind is not None:
            self._description, self._kinds = described(kind, word)

    def said(self, table: Mapping[str, Any]) -> dict[str, Any] | None:
        """Describe it, with what its own checks say of its defaults and of the table in force."""
        if self._description is None:
            return None
        known: list[Any] = []

        def construct(number: int, values: Mapping[str, Any]) -> Mapping[str, Any]:
            got = constructed(self._kinds, number, values)
            known.append([number, values, got])
            return got

        twin = made(self._description, construct)
        for values in {}, table:
            with suppress(Exception):  # what is wrong with them is said when they are used
                read_table(values, twin, self._word)
        return {**self._description, "known": known}

    def constructed(self, number: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """Have an instance made; gives its `values` then, or why it is `refused`."""
        try:
            return {"values": constructed(self._kinds, number, values)}
        except ValueError as error:
            return {"refused": str(error)}
