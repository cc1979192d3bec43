"""The input images of one object of a JSON body, taken in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stretto.host.errors import Fault, InvalidRequestError

from .fields import shown

if TYPE_CHECKING:
    from .inbox import ImageInbox

__all__ = ["IMAGES", "take_pictures"]

IMAGES = ("image", "mask", "control_image")


def take_pictures(
    given: Mapping[str, object], images: ImageInbox, prefix: str = ""
) -> tuple[dict[str, Any], list[Fault]]:
    """Take in the images that `given` names, as references by name, with every fault."""
    taken: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in IMAGES:
        source = given.get(name)
        if source is None:
            continue
        if not isinstance(source, str):
            faults.append(Fault(field=prefix + name, message=f"{shown(source)} is not a data URI or a path"))
            continue
        try:
            taken[name] = images.take(source, prefix + name)
        except InvalidRequestError as error:
            faults += error.faults
    return taken, faults
