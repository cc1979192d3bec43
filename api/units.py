"""Control units and control images, as later releases send them, into `controlnets`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from stretto.host.contracts.request import ControlRequest

__all__ = ["controls_of"]

# words of some release -> ours
SAME = {
    "conditioning_scale": "scale",
    "control_image": "image",
    "invert_control_image": "invert",
    "process_control_image": "process",
    "weight": "scale",
}
KEPT = frozenset(one.name for one in fields(ControlRequest))


def controls_of(path: str, value: object) -> tuple[object, list[str]]:
    """Give what stands at `path` in our words, and a note for each word that does nothing here."""
    items = value if isinstance(value, list) else [value]
    notes: list[str] = []
    read: list[object] = []
    for i, item in enumerate(items):
        if not isinstance(item, Mapping):
            read.append(item)
            continue
        unit = {SAME.get(str(key), str(key)): one for key, one in item.items() if one is not None}
        notes += [f"'{path}[{i}].{key}' does nothing here" for key in unit if key not in KEPT]
        read.append({key: one for key, one in unit.items() if key in KEPT})
    return read, notes
