"""`nodes` of a JSON body: each with the majority of the invocation's own parameters, and a place."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from stretto.host.contracts.request import InvocationRequest, NodeRequest

from .controls import list_controls, take_control_images, with_control_images
from .fields import MAX_ITEMS, checked, shown
from .pictures import IMAGES, take_pictures

if TYPE_CHECKING:
    from stretto.host.contracts.images import ImageRef
    from stretto.host.errors import Fault

    from .inbox import ImageInbox

__all__ = ["node_of", "take_nodes", "without_faulty"]

_log = logging.getLogger(__name__)

# the contract's word for the steps of a node, and the invocation's words for what nodes call otherwise
ALIASES = {
    "inference_steps": "num_inference_steps",
    "invert_control_image": "invert",
    "width": "w",
    "height": "h",
}
PATH = re.compile(r"nodes\[(\d+)\]")
# wholly to the right of any canvas
NOWHERE = {"x": 16384, "w": 1, "h": 1, "prompt": "nothing"}
# told about a node by its author's tools, and of no meaning here
IGNORED = ("type",)


def take_nodes(value: object, images: ImageInbox) -> tuple[tuple[NodeRequest, ...], list[Fault]]:
    """Check `nodes` and take in their images; gives every fault with its path, as `nodes[1].w`."""
    if value is None:
        return (), []
    entries = value[: MAX_ITEMS + 1] if isinstance(value, list) else []
    taken = [_Node(body, images, f"nodes[{position}].") for position, body in enumerate(entries)]
    bodies = [node.body for node in taken] if isinstance(value, list) else value
    made, faults = checked(InvocationRequest, {"nodes": bodies})
    pairs = [] if made is None else zip(taken, made.nodes, strict=True)
    nodes = tuple(node.with_images(shaped) for node, shaped in pairs)
    return nodes, [fault for node in taken for fault in node.faults] + faults


def node_of(fault: Fault) -> int | None:
    """Give the position of the node that a fault is about, from its path; None if it is of no node."""
    found = PATH.match(fault.field)
    return None if found is None else int(found[1])


def without_faulty(nodes: object, faults: Iterable[Fault]) -> list[object] | None:
    """Give `nodes` with one that is nowhere in place of each that has a fault; None if there are none.

    So what is wrong with the others is found, under their own positions.
    """
    faulty = {node_of(fault) for fault in faults} - {None}
    if not isinstance(nodes, list) or not faulty:
        return None
    return [NOWHERE if position in faulty else node for position, node in enumerate(nodes)]


class _Node:
    """One entry, parted into what pydantic checks and the images that the inbox takes."""

    def __init__(self, body: object, images: ImageInbox, prefix: str) -> None:
        self.body = body
        self.faults: list[Fault] = []
        self._pictures: dict[str, Any] = {}
        self._controls: list[ImageRef | None] = []
        if not isinstance(body, Mapping):
            return
        given = _known(body, prefix)
        self._pictures, self.faults = take_pictures(given, images, prefix)
        sources = list_controls(given)
        self._controls, more = take_control_images(sources[:MAX_ITEMS], images, prefix)
        self.faults += more
        self.body = {name: value for name, value in given.items() if name not in IMAGES}

    def with_images(self, node: NodeRequest) -> NodeRequest:
        """Give a checked node its images."""
        return replace(with_control_images(node, self._controls), **self._pictures)


def _known(body: Mapping[str, object], prefix: str) -> dict[str, object]:
    names = {field.name for field in fields(NodeRequest)}
    unknown = [key for key in body if key not in names and key not in ALIASES and key not in IGNORED]
    if unknown:
        _log.info("%s parameters that are not known here are ignored: %s", prefix, shown(", ".join(unknown)))
    given = {name: body[alias] for alias, name in ALIASES.items() if body.get(alias) is not None}
    return given | {name: body[name] for name in names if body.get(name) is not None}
