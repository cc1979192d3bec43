"""Plain text tables for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

__all__ = ["table"]

MIN_LAST = 24  # characters; a narrower last column is not wrapped but left to the terminal


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay `rows` out in columns; the last one is wrapped to the terminal's width."""
    lines = [[head.upper() for head in heads], *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads) - 1)]
    indent = sum(widths) + 2 * len(widths)
    room = max(shutil.get_terminal_size((120, 24)).columns - indent, MIN_LAST)
    laid = []
    for line in lines:
        front = "".join(cell.ljust(width + 2) for cell, width in zip(line, widths, strict=False))
        wrapped = textwrap.wrap(line[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        laid.append(front + wrapped[0])
        laid += [" " * indent + more for more in wrapped[1:]]
    return "\n".join(text.rstrip() for text in laid)
