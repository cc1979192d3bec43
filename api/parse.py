"""A JSON body into an InvocationRequest; every fault of the body in one error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import get_origin

from stretto.host.contracts.request import INTERNAL, InvocationRequest

from .aliases import read_aliases
from .controls import list_controls, take_control_images, with_control_images
from .fields import MAX_ITEMS, checked, hints_of, refuse, shown
from .inbox import ImageInbox
from .nodes import take_nodes
from .pictures import IMAGES, take_pictures
from .plugin_parameters import by_plugin
from .tiling import tile_axes

__all__ = ["parse_invocation"]

_log = logging.getLogger(__name__)

ADAPTERS = ("lora", "lycoris", "inversion")


def parse_invocation(payload: Mapping[str, object], images: ImageInbox) -> InvocationRequest:
    """Check a body of `POST /api/invoke` and take in its images.

    null means absent, unknown keys are logged and left out. What `plugins` says is for `plan_with_parameters`
    to check, which knows the plugins. Raises InvalidRequestError with every
    fault, its field and what the field takes.
    """
    reading = read_aliases(payload)
    given = _known(reading.given)
    pictures, faults = take_pictures(given, images)
    sources = list_controls(given)
    controls, more = take_control_images(sources[:MAX_ITEMS], images)
    faults += more
    values: dict[str, object] = {}
    for name, value in given.items():
        if name in ADAPTERS:
            values[name] = _adapters(value)
        elif name == "tile":
            values[name], more = tile_axes(value)
            faults += more
        elif name not in IMAGES:
            values[name] = _listed(name, value)
    nodes = values.pop("nodes", None)
    plugins, more = by_plugin(values.pop("plugins", {}))
    faults += more
    request, found = checked(InvocationRequest, values)
    taken, more = take_nodes(nodes, images)
    refuse(InvocationRequest, [*reading.faults, *reading.blamed([*faults, *found, *more])])
    assert request is not None  # noqa: S101  # `refuse` raised otherwise
    return replace(
        with_control_images(request, controls),
        nodes=taken,
        plugins=plugins,
        notes=tuple(reading.notes),
        **pictures,
    )


def _known(given: Mapping[str, object]) -> dict[str, object]:
    names = {field.name for field in fields(InvocationRequest)}.difference(INTERNAL)
    unknown = [key for key in given if key not in names]
    if unknown:
        _log.info("parameters that are not known here are ignored: %s", shown(", ".join(unknown)))
    return {name: value for name, value in given.items() if name in names}


def _listed(name: str, value: object) -> object:
    # A field that takes a list also takes the one thing that would be in it.
    hint = hints_of(InvocationRequest)[name]
    if get_origin(hint) is tuple and name != "nodes" and not isinstance(value, list):
        return [value]
    return value


def _adapters(value: object) -> object:
    # "name" | {"model": ..., "weight": ...} | a list of those
    items = value if isinstance(value, list) else [value]
    return [{"model": item} if isinstance(item, str) else _without_nulls(item) for item in items]


def _without_nulls(item: object) -> object:
    if not isinstance(item, dict):
        return item
    return {key: value for key, value in item.items() if value is not None}
