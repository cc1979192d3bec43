"""The rows of `stretto doctor` about compilers: which of them can build engines here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..compilers import compilers
from .checks import Row

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["compiler_rows"]


def compiler_rows(host: Host) -> list[Row]:
    """Give one row a compiler; what is missing is said with what would do."""
    return [_row(str(found["name"]), str(found["title"]), found["reason"]) for found in compilers(host)]


def _row(name: str, title: str, reason: object) -> Row:
    if reason is None:
        return Row(name=f"compiler {name}", status="ok", found=f"{title} builds engines here")
    why, _, fix = str(reason).partition("; ")
    return Row(name=f"compiler {name}", status="absent", found=why, fix=fix or why)
