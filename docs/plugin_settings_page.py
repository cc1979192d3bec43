"""The part of the page of plugins.toml that is generated: what built-in plugins are told, from their dataclasses."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from stretto.host.plugboard.discover import BUILT_INS
from value_words import default_words, table, value_words

__all__ = ["plugins_toml"]

PAGE = Path(__file__).parent / "reference" / "plugins-toml.md"
BEGIN = "<!-- From here on written by docs/generate.py: change the dataclasses, then run `make docs`. -->"
END = "<!-- Up to here. -->"
PARAMETERS = """Not in the file, but with each request, as `"plugins": {NAME: {KEY: VALUE}}` or `--set plugins.NAME.KEY=VALUE`
([parameters of plugins](../howto/plugin-parameters.md)), or kept with a [stored model](../howto/keep-models.md)."""


def plugins_toml() -> str:
    """Give the page as it stands, with the part between its two marks written anew; ValueError without the marks."""
    text = PAGE.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(marked.findall(text)) != 1:
        raise ValueError(f"{PAGE} needs the marks {BEGIN!r} and {END!r}, once each")
    part = "\n\n".join([BEGIN, *_sections(), END])
    return marked.sub(lambda _: part, text)


def _sections() -> Iterator[str]:
    for name in BUILT_INS:
        yield from _section(f"### `[plugins.{name}]`", name, "Settings")
    yield "## What an invocation may say to the built-in plugins"
    yield PARAMETERS
    for name in BUILT_INS:
        yield from _section(f"### `plugins.{name}`", name, "Parameters")


def _section(title: str, name: str, word: str) -> Iterator[str]:
    declared: Any = getattr(import_module(f"stretto.plugins.{name}"), word, None)
    if declared is not None:
        yield title
        yield inspect.cleandoc(declared.__doc__)
        yield table(("key", "values", "default", "what it does"), _rows(name, declared))


def _rows(name: str, declared: Any) -> Iterator[tuple[str, ...]]:
    hints = get_type_hints(declared, include_extras=True)
    for field in dataclasses.fields(declared):
        if "description" not in field.metadata:
            raise ValueError(f"{name}.{field.name} needs a `description` in its metadata")
        required = field.default is dataclasses.MISSING
        default = "required" if required else f"`{default_words(field.default)}`"
        yield f"`{field.name}`", value_words(hints[field.name]), default, field.metadata["description"]
