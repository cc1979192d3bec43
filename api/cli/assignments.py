"""NAME=VALUE on the command line, for names that are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import click

__all__ = ["Assignment"]


class Assignment(click.ParamType[tuple[str, Any]]):
    """NAME=VALUE, where VALUE is JSON, or else plain text; `known` gives the names, and those that are meant.

    A name that begins with `open_prefix` is taken as it is, if there is something between all of its dots.
    """

    name = "NAME=VALUE"

    def __init__(
        self,
        what: str,
        example: str,
        known: Callable[[], tuple[Collection[str], Sequence[str]]],
        open_prefix: str | None = None,
    ) -> None:
        self._what = what
        self._example = example
        self._known = known
        self._open_prefix = open_prefix

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Split, check the name, and read the value."""
        from stretto.host.errors import did_you_mean

        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals:
            self.fail(f"'{value}' has no '='; write for example {self._example}", param, ctx)
        taken, meant = self._known()
        if name not in taken and not self._is_open(name):
            self.fail(f"no {self._what} is called '{name}'; {did_you_mean(name, meant)}", param, ctx)
        try:
            return name, json.loads(text)
        except json.JSONDecodeError:
            return name, text

    def _is_open(self, name: str) -> bool:
        prefix = self._open_prefix
        return prefix is not None and name.startswith(prefix) and all(name.split("."))
