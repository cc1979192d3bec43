"""One plugin as JSON: its row, what it has, takes and is set to, where its code is, and what it cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from stretto.host.plugboard.breakage import declared_api
from stretto.host.plugboard.totals import read_totals

if TYPE_CHECKING:
    from stretto.host.plugboard.board import Board, PluginRow
    from stretto.host.runtime.host import Host

__all__ = ["plugin_object", "plugin_row", "row_of"]


# what a row says to callers who may not see its reason, which names folders and what was raised
REASONS = {
    "on": "there is something to know about it; an administrator sees what",
    "off": "off; an administrator sees why",
    "broken": "broken; an administrator sees why",
}


def plugin_row(row: PluginRow, *, whole: bool = True) -> dict[str, Any]:
    """Give a row of the list of plugins; places and reasons in full only if it is to be the `whole`."""
    file = row.origin.startswith("file ")
    return {
        "name": row.name,
        "version": row.version,
        "origin": "file" if file and not whole else row.origin,
        "offers": {kind: list(names) for kind, names in row.offers.items()},
        "status": row.status,
        "reason": row.reason if whole or row.reason is None else REASONS[row.status],
    }


def row_of(host: Host, row: PluginRow, *, whole: bool) -> dict[str, Any]:
    """Give a row with the plugin's hooks and the JSON Schemas of its settings and parameters, None without.

    Settings, which only administrators read and change, are described only if it is to be the `whole`.
    """
    made = plugin_row(row, whole=whole)
    on = row.status == "on"
    made["settings"] = _schema(host.board.settings(row.name)) if on and whole else None
    made["parameters"] = _schema(host.board.parameters(row.name)) if on else None
    made["hooks"] = list(host.board.hooks(row.name)) if on else []
    return made


def plugin_object(host: Host, name: str, *, whole: bool) -> dict[str, Any]:
    """Give all about one plugin; values, places, reasons and failures' words only if it is to be the `whole`.

    Raises NotFoundError with the nearest name.
    """
    rows = host.plugins()
    board = host.board
    found = board.found(name)
    row = next(row for row in rows if row.name == name)
    plugin = board.named(name) if row.status == "on" else None
    table = host.fittings.switches.own_table(name)
    declared = None if plugin is None else declared_api(plugin)
    return {
        **row_of(host, row, whole=whole),
        "values": _values(board, name, table) if whole else None,
        "order": _place(host.fittings.switches.order, name),
        "requires_api": None if declared is None else str(declared),
        "place": (str(getattr(plugin, "__file__", None) or found.place) or None) if whole else None,
        "costs": [_cost(asdict(one), whole=whole) for one in read_totals(host.folders.root, name)],
    }


def _place(order: tuple[str, ...], name: str) -> int | None:
    return order.index(name) if name in order else None


def _cost(spent: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    del spent["plugin"]
    return spent if whole else {**spent, "last": ""}


def _values(board: Board, name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings as they are in force, defaults included; of a plugin that is not on what the file says."""
    from stretto.host.plugboard.tables import read_table

    on = name in {one.name for one in board.at_work()}
    into = board.settings(name) if on else None
    if into is None:
        return {key: _plain(value) for key, value in table.items()}
    read: Any = read_table(table, into, name)
    return {key: _plain(value) for key, value in asdict(read).items()}


def _plain(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)


@cache
def _schema(into: type | None) -> dict[str, Any] | None:
    if into is None:
        return None
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

    try:
        return TypeAdapter(into).json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return {}  # of a type that JSON has not; which one a wrong value is told
