"""What a plan wants of plugins that may have gone since it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contracts.plan import Plan
from ..errors import NotFoundError

if TYPE_CHECKING:
    from .board import Board

__all__ = ["require_plugins"]


def require_plugins(board: Board, plan: Plan) -> None:
    """Raise NotFoundError for a plugin that is not on and that the plan has parameters for, with the reason."""
    rows = {row.name: row for row in reversed(board.rows())} if plan.plugins else {}
    for name in plan.plugins:
        row = rows.get(name)
        if row is None or row.status != "on":
            why = "not there any more" if row is None else f"{row.status}: {row.reason}"
            raise NotFoundError(f"the plan has parameters for the plugin '{name}', which is {why}")
