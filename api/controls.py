"""ControlNets of a JSON body: a name, an object or a list of both, with images that are taken in like all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from stretto.host.errors import Fault, InvalidRequestError

from .fields import shown

if TYPE_CHECKING:
    from stretto.host.contracts.images import ImageRef
    from stretto.host.contracts.request import InvocationRequest, NodeRequest

    from .inbox import ImageInbox

__all__ = ["list_controls", "take_control_images", "with_control_images"]

Asking = TypeVar("Asking", "InvocationRequest", "NodeRequest")

LIST = "controlnets"


def list_controls(values: dict[str, object]) -> list[object]:
    """Move what is more than a name from `controlnet` to `controlnets`; give the images, by position.

    An image never stays in `values`: only the inbox makes references to files.
    """
    items = _listed(values.pop(LIST, None))
    if isinstance(values.get("controlnet"), list | dict):
        items = [*_listed(values.pop("controlnet")), *items]
    named = [{"controlnet": item} if isinstance(item, str) else item for item in items]
    if named:
        values[LIST] = [_without(item, "image") for item in named]
    return [item.get("image") if isinstance(item, Mapping) else None for item in named]


def take_control_images(
    sources: list[object], images: ImageInbox, prefix: str = ""
) -> tuple[list[ImageRef | None], list[Fault]]:
    """Take in the images that the objects of the list name; gives every fault."""
    taken: list[ImageRef | None] = []
    faults: list[Fault] = []
    for position, source in enumerate(sources):
        field = f"{prefix}{LIST}[{position}].image"
        taken.append(None)
        if source is None:
            continue
        if not isinstance(source, str):
            faults.append(Fault(field=field, message=f"{shown(source)} is not a data URI or a path"))
            continue
        try:
            taken[position] = images.take(source, field)
        except InvalidRequestError as error:
            faults += error.faults
    return taken, faults


def with_control_images(asking: Asking, taken: list[ImageRef | None]) -> Asking:
    """Give each ControlNet of the list its image."""
    pairs = zip(asking.controlnets, taken, strict=True)
    return replace(asking, controlnets=tuple(replace(one, image=image) for one, image in pairs))


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _without(item: object, name: str) -> object:
    if not isinstance(item, Mapping):
        return item
    return {key: value for key, value in item.items() if key != name and value is not None}
