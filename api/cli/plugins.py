"""`stretto plugins`: which plugins there are, what each offers and takes, why one is off, and what is to be on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click
from stretto.host.settings import Settings

from .options import Place, as_json, place_options
from .plugin_check import check_command
from .plugin_new import new_command
from .plugin_packages import install_command, remove_command
from .tables import table

if TYPE_CHECKING:
    from stretto.host.plugboard.alterations import Alteration
    from stretto.host.plugboard.board import PluginRow

__all__ = ["plugins_group"]


@click.group("plugins")
def plugins_group() -> None:
    """Show which plugins there are, say which are on, and install, remove, begin and check them."""


plugins_group.add_command(check_command)
plugins_group.add_command(new_command)
plugins_group.add_command(install_command)
plugins_group.add_command(remove_command)


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


@plugins_group.command("show")
@click.argument("name")
@as_json
@place_options
def show_command(place: Place, *, name: str, as_json: bool) -> None:
    """Show all about one plugin: hooks, offers, settings, parameters, where its code is, and what it cost so far."""
    from stretto.host.runtime.host import Host

    from ..plugin_objects import plugin_object

    with closing(Host.open(place.folders, Settings(), plugins_file=place.plugins_file)) as host:
        shown = plugin_object(host, name, whole=True)
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(_page(shown)))


@plugins_group.command("enable")
@click.argument("names", nargs=-1, required=True)
@place_options
def enable_command(place: Place, *, names: tuple[str, ...]) -> None:
    """Turn plugins on that are disabled, or were switched off for failing; each must come up, or nothing is changed."""
    from stretto.host.plugboard.alterations import Alteration

    _switch(place, Alteration(enable=names), f"on: {', '.join(names)}")


@plugins_group.command("disable")
@click.argument("names", nargs=-1, required=True)
@place_options
def disable_command(place: Place, *, names: tuple[str, ...]) -> None:
    """Turn plugins off; they are listed still, and not imported. A running server goes by it with its next request."""
    from stretto.host.plugboard.alterations import Alteration

    _switch(place, Alteration(disable=names), f"off: {', '.join(names)}")


@plugins_group.command("order")
@click.argument("names", nargs=-1)
@place_options
def order_command(place: Place, *, names: tuple[str, ...]) -> None:
    """Say which plugins are asked first, in this order; without a name none is."""
    from stretto.host.plugboard.alterations import Alteration

    _switch(place, Alteration(order=names), f"asked first: {', '.join(names) or 'none'}")


def _switch(place: Place, alteration: Alteration, done: str) -> None:
    from stretto.host.runtime.switching import switch

    file = switch(place.folders, place.plugins_file, alteration)
    click.echo(f"{done} ({file})" if file is not None else f"{done}, as it was before")


def _values(row: PluginRow) -> dict[str, Any]:
    from ..plugin_objects import plugin_row

    return plugin_row(row)


def _cells(row: PluginRow) -> tuple[str, ...]:
    offers = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in row.offers.items() if names)
    last = "; ".join(words for words in (offers, row.reason) if words)
    return row.name, row.version or "-", row.origin, row.status, last or "-"


# one plugin in words


def _page(shown: dict[str, Any]) -> Iterable[str]:
    status = shown["status"] if shown["reason"] is None else f"{shown['status']}: {shown['reason']}"
    facts = {
        "name": shown["name"],
        "version": shown["version"] or "-",
        "origin": shown["origin"],
        "status": status,
        "place": shown["place"] or "-",
        "plugin API": shown["requires_api"] or "not said",
        "order": "-" if shown["order"] is None else str(shown["order"] + 1),
        "hooks": ", ".join(shown["hooks"]) or "-",
        **{kind: ", ".join(names) for kind, names in shown["offers"].items()},
    }
    yield from _aligned(facts)
    yield from _table_of("settings", shown["settings"], shown["values"])
    yield from _table_of("parameters", shown["parameters"], None)
    yield from _costs(shown["costs"])


def _aligned(facts: dict[str, str]) -> Iterable[str]:
    width = max(map(len, facts)) + 2
    return (f"{name.ljust(width)}{said}" for name, said in facts.items())


def _table_of(title: str, schema: dict[str, Any] | None, values: dict[str, Any] | None) -> Iterable[str]:
    if schema is None:
        return
    means = any("description" in one for one in schema.get("properties", {}).values())
    head = (
        "name",
        "type",
        "default",
        *(() if values is None else ("value",)),
        *(("meaning",) if means else ()),
    )
    rows = []
    for name, one in schema.get("properties", {}).items():
        value = () if values is None else (json.dumps(values.get(name)),)
        meaning = (one.get("description", "-"),) if means else ()
        default = json.dumps(one["default"]) if "default" in one else "-"
        rows.append((name, _type(one), default, *value, *meaning))
    yield f"\n{title}"
    yield table(head, rows) if rows else "-"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(arm) for arm in schema["anyOf"])
    if "$ref" in schema:
        return "object"
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(word) for word in schema.get("enum", [schema.get("const")]))
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    said = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *said])


def _costs(costs: list[dict[str, Any]]) -> Iterable[str]:
    yield "\ncosts so far"
    if not costs:
        yield "-"
        return
    keys = ("hook", "calls", "seconds", "failures", "overruns", "last")
    cells = [
        (
            one["hook"],
            *(f"{one[key]:.3f}" if key == "seconds" else str(one[key]) for key in keys[1:-1]),
            one["last"] or "-",
        )
        for one in costs
    ]
    yield table((*keys[:-1], "last failure"), cells)
