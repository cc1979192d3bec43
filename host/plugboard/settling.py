"""What settles a clash of two plugins: the lines of plugins.toml to choose from, as that file is now."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .switches import Switches

__all__ = ["TURN_OFF", "array_line", "settling"]

TURN_OFF = "; turn one of them off"  # between what clashes and what settles it


def settling(switches: Switches, first: str, second: str) -> str:
    """End a sentence about a clash: which line of plugins.toml leaves `first` or `second` out, ready to be pasted.

    What is disabled already stays so, and what is required is not offered to be disabled.
    """
    file = switches.source
    required = [name for name in (first, second) if name in switches.require]
    choices = [name for name in (first, second) if name not in required]
    if not choices:
        both = f"{file} requires both ({array_line('require', switches.require)})"
        return f"{TURN_OFF}: {both}; take one of them out of `require`, and then disable it"
    lines = [array_line("disable", (*switches.disable, name)) for name in choices]
    if switches.said is None:
        where = f"write one of these into {file}"
        shown = "\n\nor\n\n".join(f"  [host]\n  {line}" for line in lines)
    elif "disable" in switches.said:
        where = f"in {file}, one of these is to stand for {array_line('disable', switches.disable)}"
        shown = "\n".join(f"  {line}" for line in lines)
    else:
        where = f"in {file}, one of these is to stand under [host]"
        shown = "\n".join(f"  {line}" for line in lines)
    if required:
        where = where.replace("one of these", f"this ('{required[0]}' is required there)", 1)
    commands = " or ".join(f"`stretto plugins disable {name}`" for name in choices)
    return f"{TURN_OFF}: {where}:\n\n{shown}\n\n({commands} does the same)"


def array_line(key: str, names: Iterable[str]) -> str:
    """Give a line of TOML: `disable = ["a", "b"]`."""
    return f"{key} = [{', '.join(json.dumps(name, ensure_ascii=False) for name in names)}]"
