"""The words of `tile`: on which axes a picture goes on at its other end."""

from __future__ import annotations

from stretto.host.errors import Fault

from .fields import shown

__all__ = ["tile_axes"]

WORDS = {
    "true": (True, True),
    "xy": (True, True),
    "x": (True, False),
    "y": (False, True),
    "false": (False, False),
}
BOTH = 2


def tile_axes(value: object) -> tuple[list[bool], list[Fault]]:
    """Give [x, y] for true, false, "x", "y" or a list of two booleans, and a fault for anything else."""
    if isinstance(value, bool):
        return [value, value], []
    if isinstance(value, str) and value.strip().lower() in WORDS:
        return list(WORDS[value.strip().lower()]), []
    if isinstance(value, list) and len(value) == BOTH and all(isinstance(one, bool) for one in value):
        return list(value), []
    message = f'{shown(value)} is not true, false, "x", "y" or [x, y] with true or false for each'
    return [False, False], [Fault(field="tile", message=message)]
