"""`stretto plugins`: which plugins there are, what each offers, and why one is off."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click
from stretto.host.settings import Settings

from .options import Place, as_json, place_options
from .plugin_check import check_command
from .plugin_new import new_command
from .tables import table

if TYPE_CHECKING:
    from stretto.host.plugboard.board import PluginRow

__all__ = ["plugins_group"]


@click.group("plugins")
def plugins_group() -> None:
    """Show which plugins there are and what each offers."""


plugins_group.add_command(check_command)
plugins_group.add_command(new_command)


@plugins_group.command("list")
@as_json
@place_options
def list_command(place: Place, *, as_json: bool) -> None:
    """List every plugin that was found, the ones that are off or broken included."""
    from stretto.host.runtime.host import Host

    with closing(Host.open(place.folders, Settings(), plugins_file=place.plugins_file)) as host:
        rows = host.plugins()
    if as_json:
        click.echo(json.dumps([_values(row) for row in rows], indent=2))
        return
    click.echo(table(("name", "version", "origin", "status", "offers"), [_cells(row) for row in rows]))


def _values(row: PluginRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "origin": row.origin,
        "status": row.status,
        "reason": row.reason,
        "offers": {kind: list(names) for kind, names in row.offers.items()},
    }


def _cells(row: PluginRow) -> tuple[str, ...]:
    offers = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in row.offers.items() if names)
    return row.name, row.version or "-", row.origin, row.status, row.reason or offers or "-"
