"""What the routes of plugins take and answer, as JSON Schema."""

from __future__ import annotations

from stretto.host.contracts.costs import Spent
from stretto.host.plugboard.board import PluginRow

from .json_schema import NULL, TEXT, Shape, either, listed, ref, thing
from .openapi_plan import of_dataclass

__all__ = ["PLUGIN_FORM", "plugin_schemas"]

SCHEMA: Shape = {"type": "object", "description": "JSON Schema of a dataclass"}
PLUGIN_FORM: Shape = {
    **thing(
        enabled={"type": "boolean"},
        settings={
            "type": "object",
            "description": "keys of the plugin's own settings; null takes one out, and of what is an object the keys "
            "that are not given stay",
        },
        order={
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "0 is asked first; null is no place",
        },
    ),
    "description": "What is not given stays as it is.",
}


def plugin_schemas() -> dict[str, Shape]:
    """Give the named schemas: a row of the list, and all about one plugin."""
    row = of_dataclass(PluginRow, "Plugin")["Plugin"]
    row["properties"] |= {
        "origin": {
            **row["properties"]["origin"],
            "description": "`built-in`, `package NAME`, `isolated NAME`, or `file` with its path for administrators",
        },
        "reason": {
            **row["properties"]["reason"],
            "description": "why it is not on, or what is to be known; in general words for others than administrators",
        },
    }
    settings: Shape = {
        "settings": either(
            {**SCHEMA, "description": "JSON Schema of what it is set by, for administrators"}, NULL
        ),
        "parameters": either(
            {**SCHEMA, "description": "JSON Schema of what it takes with an invocation"}, NULL
        ),
        "hooks": listed(TEXT),
    }
    cost = of_dataclass(Spent, "PluginCost")["PluginCost"]
    del cost["properties"]["plugin"]
    cost["properties"]["last"] = {
        **cost["properties"]["last"],
        "description": "what the last failure said, for administrators; empty for others",
    }
    cost["required"] = [name for name in cost["required"] if name != "plugin"]
    whole = {
        **row["properties"],
        **settings,
        "values": either(
            {"type": "object", "description": "its settings in force, for administrators"}, NULL
        ),
        "order": {"type": ["integer", "null"], "description": "its place in `order`, from 0"},
        "requires_api": {
            "type": ["string", "null"],
            "description": "the range of the plugin API that it declares",
        },
        "place": {"type": ["string", "null"], "description": "where its code is, for administrators"},
        "costs": listed(ref("PluginCost")),
    }
    return {
        "Plugin": _all_of(row, {**row["properties"], **settings}),
        "PluginWhole": {**_all_of(row, whole), "description": "All about one plugin."},
        "PluginCost": {**cost, "description": "What a plugin cost so far, by hook."},
        "PluginForm": PLUGIN_FORM,
    }


def _all_of(shape: Shape, properties: dict[str, Shape]) -> Shape:
    return {**shape, "properties": properties, "required": list(properties)}
