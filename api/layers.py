"""`layers`, as later releases send them, into `nodes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from stretto.host.contracts.request import NodeRequest
from stretto.host.errors import Fault, did_you_mean

from .fields import shown
from .nodes import ALIASES
from .units import controls_of

__all__ = ["Layers", "nodes_of"]

VISIBILITIES = ("visible", "denoised", "hidden")
KEPT = frozenset({*(one.name for one in fields(NodeRequest)), *ALIASES})
TRANSLATED = ("visibility", "control_units")
# what these say is what is done, when they say it
PLAIN = {"opacity": (1, 1.0, "1"), "type": ("image", "prompt", "node")}


@dataclass(slots=True)
class Layers:
    """The nodes that some layers mean, and what of the layers is not read."""

    nodes: object
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


def nodes_of(value: object) -> Layers:
    """Read a list of layers; what is no list of objects is left for the check of `nodes` to name."""
    layers = Layers(nodes=value, origins={"nodes": "layers"})
    if not isinstance(value, list):
        return layers
    nodes: list[object] = []
    for i, item in enumerate(value):
        if isinstance(item, Mapping) and _unseen(item):
            layers.notes.append(f"'layers[{i}]' was left out: it is hidden, and no ControlNet follows it")
            continue
        layers.origins[f"nodes[{len(nodes)}]"] = f"layers[{i}]"
        layers.origins[f"nodes[{len(nodes)}].controlnets"] = f"layers[{i}].control_units"
        nodes.append(_node(f"layers[{i}]", item, layers) if isinstance(item, Mapping) else item)
    layers.nodes = nodes
    return layers


def _unseen(item: Mapping[str, object]) -> bool:
    return item.get("visibility") == "hidden" and not item.get("control_units")


def _node(path: str, item: Mapping[str, object], layers: Layers) -> dict[str, object]:
    """Read one layer."""
    layer = {key: value for key, value in item.items() if value is not None}
    node: dict[str, object] = {key: value for key, value in layer.items() if key in KEPT}
    units = layer.get("control_units")
    if units is not None:
        controls, unread = controls_of(f"{path}.control_units", units)
        node |= {"controlnets": controls, "control": True}
        layers.notes += [f"'{path}.control_units' was read as 'controlnets'", *unread]
    visibility = layer.get("visibility", VISIBILITIES[0])
    if visibility not in VISIBILITIES:
        near = f"; {did_you_mean(visibility[:60], VISIBILITIES)}" if isinstance(visibility, str) else ""
        message = f"{shown(visibility)} is not one of {', '.join(VISIBILITIES)}{near}"
        layers.faults.append(Fault(field=f"{path}.visibility", message=message))
    if visibility == "denoised":
        node["infer"] = True
        layers.notes.append(f"'{path}.visibility' denoised was read as 'infer'")
    unread = [key for key, value in layer.items() if key not in KEPT and not _plain(key, value)]
    layers.notes += [f"'{path}.{key}' does nothing here" for key in unread]
    return node


def _plain(key: str, value: object) -> bool:
    return key in TRANSLATED or value in PLAIN.get(key, ())
