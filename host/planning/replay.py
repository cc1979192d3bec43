"""A recorded plan on this machine: every file that it names, found again and known to be the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from ..contracts.images import ImageRef
from ..contracts.models import WeightFile, WeightKind
from ..contracts.plan import Plan
from ..contracts.protocols import HostView
from ..errors import BadRequestError, NotFoundError, WeightsError
from .control import brought_by
from .files import find_file

__all__ = ["found_again"]

# Files that no library lists: they are known by name alone, in a folder of their own.
BY_NAME = (WeightKind.UPSCALER, WeightKind.BACKGROUND, WeightKind.PREPROCESSOR, WeightKind.SAFETY)
DIGEST_LETTERS = 64


def found_again(plan: Plan, host: HostView) -> Plan:
    """Give the plan with the paths that its weights and input images have here.

    Weights are looked for where they were, then by name, in the model folders only, and must be the
    same by fingerprint. Raises NotFoundError for what is not here, WeightsError for another file.
    """

    def here(value: Any) -> Any:
        if isinstance(value, WeightFile):
            return _weights(value, host)
        if isinstance(value, ImageRef):
            return _image(value, host)
        if isinstance(value, tuple):
            return tuple(here(item) for item in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **_changed(value, here))
        return value

    found: Plan = here(plan)
    return found


def _changed(value: Any, here: Callable[[Any], Any]) -> dict[str, Any]:
    before = {field.name: getattr(value, field.name) for field in fields(value)}
    after = {name: here(item) for name, item in before.items()}
    return {name: item for name, item in after.items() if item is not before[name]}


def _weights(recorded: WeightFile, host: HostView) -> WeightFile:
    others: list[WeightFile] = []
    for word in dict.fromkeys((recorded.path, recorded.name, Path(recorded.path).name)):
        found = _resolved(word, recorded.kind, host) if word else None
        if found is not None and found.fingerprint == recorded.fingerprint:
            parts = recorded.parts_from and _weights(recorded.parts_from, host)
            return replace(recorded, path=found.path, parts_from=parts)
        if found is not None:
            others.append(found)
    called = recorded.name or recorded.path
    if others:
        raise WeightsError(
            f"{others[0].path} is not the '{called}' that the plan was drawn with (its content is another); "
            f"put that one back, or invoke the prompt anew"
        )
    raise NotFoundError(
        f"the plan was drawn with '{called}' ({recorded.kind}), which is not here; put it into "
        f"{host.folders.model_folder(recorded.kind.value)}"
    )


def _resolved(word: str, kind: WeightKind, host: HostView) -> WeightFile | None:
    if kind in BY_NAME:
        return find_file(host.folders.model_folder(kind.value), [word], kind)
    if kind is WeightKind.CONTROLNET and (own := _brought(word, host)) is not None:
        return own
    try:
        if kind is WeightKind.VAE:
            return host.resolve_vae(word)
        return host.resolve_model(word, kinds=(kind.value,))
    except (BadRequestError, NotFoundError):
        return None  # not under this word; the caller tries the next, and says so if none will do


def _brought(word: str, host: HostView) -> WeightFile | None:
    """Find a ControlNet that a model's offer brings, by the name that planning calls it."""
    for offer in host.offers("models").values():
        for name in offer.controlnets:
            if word == f"{offer.name}-{name}":
                return brought_by(offer, name)
    return None


def _image(recorded: ImageRef, host: HostView) -> ImageRef:
    digest = recorded.sha256
    known = len(digest) == DIGEST_LETTERS and set(digest) <= set("0123456789abcdef")
    path = host.folders.inputs / f"{digest}.png"
    if not known or not path.is_file():
        raise NotFoundError(
            f"the plan was drawn with an input image ({recorded.width} x {recorded.height}, sha256 {digest[:64]}) "
            f"that is not in {host.folders.inputs}; invoke with that image once more"
        )
    return replace(recorded, path=str(path.resolve()))
