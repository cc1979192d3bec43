"""`stretto doctor`: row by row what is here and what is not, and how to close each gap."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from .options import Place, as_json, place_options
from .tables import table

if TYPE_CHECKING:
    from .checks import Row

__all__ = ["doctor_command"]


@click.command("doctor")
@as_json
@place_options
@click.pass_context
def doctor_command(context: click.Context, place: Place, *, as_json: bool) -> None:
    """Say what is here, what is not, and how to close each gap.

    Exit status 1 if something is missing that the first image needs.
    """
    from .checks import examine
    from .engine_rows import engines_row
    from .memory_rows import memory_rows

    rows = [*examine(place), *memory_rows(place), engines_row(place)]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        _print(rows)
    context.exit(1 if any(row.needed and row.status != "ok" for row in rows) else 0)


def _print(rows: list[Row]) -> None:
    click.echo(table(("what", "status", "found"), [(row.name, row.status, row.found) for row in rows]))
    gaps: dict[str, list[str]] = {}
    for row in rows:
        if row.fix:
            gaps.setdefault(row.fix, []).append(row.name)
    if gaps:
        click.echo("\nTo close the gaps:")
        click.echo("\n".join(f"  {', '.join(names)}: {fix}" for fix, names in gaps.items()))
