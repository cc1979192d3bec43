"""What a caller says about a stored model: typed fields, and which of them were there at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen
from stretto.host.contracts.request import (
    Adapter,
    Guidance,
    Pixels,
    Prompt,
    Steps,
    Stride,
    Unit,
)
from stretto.host.errors import Fault, did_you_mean
from stretto.host.planning.acceleration import NONE

from .fields import checked, refuse, shown
from .kept_parameters import read_kept

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["CONFIG", "FRACTIONS", "KEPT", "ModelForm", "read_form"]

Name = Annotated[str, MaxLen(255)]
File = Annotated[str, MaxLen(4096)]

# configuration key -> the parameter of an invocation that it stands for
CONFIG = {
    "width": "width",
    "height": "height",
    "chunking_size": "chunking_size",
    "chunking_blur": "chunking_blur",
    "inference_steps": "num_inference_steps",
    "num_inference_steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "refiner_start": "refiner_start",
    "refiner_denoising_strength": "refiner_strength",
    "refiner_strength": "refiner_strength",
    "refiner_guidance_scale": "refiner_guidance_scale",
    "refiner_aesthetic_score": "refiner_aesthetic_score",
    "refiner_negative_aesthetic_score": "refiner_negative_aesthetic_score",
    "acceleration": "acceleration",
    "engine_profile": "engine_profile",
}
# those that an invocation has as fractions; kept as they were sent, 5 or 5.0
FRACTIONS = (
    "guidance_scale", "refiner_start", "refiner_strength", "refiner_guidance_scale", "refiner_aesthetic_score",
    "refiner_negative_aesthetic_score",
)  # fmt: skip
# what a model's configuration holds: those, and parameters of plugins
KEPT = (*CONFIG, "plugins")
LISTS = ("lora", "lycoris", "inversion")
# where an empty text is the same as null, as forms send it
EMPTY = ("refiner", "inpainter", "scheduler", "multi_scheduler", "vae", "acceleration", "engine_profile")
# key -> the kind of offer that its value must be the name of, one such in words, what it may be besides
OFFERED = {
    "scheduler": ("schedulers", "scheduler", ()),
    "multi_scheduler": ("schedulers", "scheduler", ()),
    "acceleration": ("compilers", "compiler", (NONE,)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelForm:
    """Every key of `POST /api/models`, with the bounds that an invocation has for it."""

    name: Name | None = None
    checkpoint: File | None = None
    size: Pixels | None = None
    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    refiner: File | None = None
    refiner_size: Pixels | None = None
    inpainter: File | None = None
    inpainter_size: Pixels | None = None
    scheduler: Name | None = None
    multi_scheduler: Name | None = None
    vae: File | None = None
    lora: tuple[Adapter, ...] = ()
    lycoris: tuple[Adapter, ...] = ()
    inversion: tuple[Adapter, ...] = ()
    width: Pixels | None = None
    height: Pixels | None = None
    chunking_size: Stride | None = None
    chunking_blur: Stride | None = None
    inference_steps: Steps | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Guidance | None = None
    refiner_start: Unit | None = None
    refiner_denoising_strength: Unit | None = None
    refiner_strength: Unit | None = None
    refiner_guidance_scale: Guidance | None = None
    refiner_aesthetic_score: Annotated[float, Ge(0.0), Le(10.0)] | None = None
    refiner_negative_aesthetic_score: Annotated[float, Ge(0.0), Le(10.0)] | None = None
    acceleration: Name | None = None
    engine_profile: Literal["static", "range"] | None = None
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)  # parameters, by plugin and by name


def read_form(body: Mapping[str, object], host: Host) -> dict[str, Any]:
    """Give the keys that were sent with checked values, null for what is to be cleared.

    Unknown keys are left out; `model` is another word for `checkpoint`. Raises InvalidRequestError with every
    fault, of names of schedulers and compilers that nobody offers and of parameters of plugins too.
    """
    sent = dict(body)
    if sent.get("checkpoint") is None and sent.get("model") is not None:
        sent["checkpoint"] = sent["model"]
    names = [field.name for field in fields(ModelForm)]
    there = {name: _normal(name, sent[name]) for name in names if name in sent}
    plugins, unfit = read_kept({} if sent.get("plugins") is None else sent["plugins"], host)
    plain = {name: value for name, value in there.items() if value is not None and name != "plugins"}
    form, faults = checked(ModelForm, plain)
    faults += [*_unknown_names(there, host.offers), *unfit]
    if isinstance(name := there.get("name"), str) and not _serves(name):
        faults.append(
            Fault(
                field="name",
                message=f"{shown(name)} serves for no address; leave out / and controls, . and ..",
            )
        )
    refuse(ModelForm, faults)
    assert form is not None  # noqa: S101  # `refuse` raised otherwise
    given = {
        name: None if value is None else _as_sent(value, getattr(form, name)) for name, value in there.items()
    }
    return {**given, "plugins": plugins or None} if "plugins" in there else given


def _normal(name: str, value: object) -> object:
    if name in EMPTY and value == "":
        return None
    if name in LISTS and value is not None:
        items = value if isinstance(value, list) else [value]
        return [_adapter(item) for item in items]
    return value


def _as_sent(sent: object, read: Any) -> Any:
    """Keep a whole number whole (5, or "5") that was read as a fraction, since it is shown as it was sent."""
    if (
        isinstance(read, float)
        and not isinstance(sent, float)
        and re.fullmatch(r"[+-]?\d+", str(sent).strip())
    ):
        return int(read)
    return read


def _adapter(item: object) -> object:
    if isinstance(item, str):
        return {"model": item}
    if isinstance(item, dict):
        return {key: value for key, value in item.items() if value is not None}
    return item


def _serves(name: str) -> bool:
    # clients take `.` and `..` out of a path before they ask for it (RFC 3986, 5.2.4)
    return bool(name.strip()) and name.isprintable() and "/" not in name and name.strip() not in (".", "..")


def _unknown_names(there: Mapping[str, object], offers: Callable[[str], Mapping[str, Any]]) -> list[Fault]:
    found = []
    for name, (kind, what, more) in OFFERED.items():
        word, known = there.get(name), [*offers(kind), *more]
        if isinstance(word, str) and word not in known:
            message = f"{shown(word)} is no {what}; {did_you_mean(word, known)}"
            found.append(Fault(field=name, message=message))
    return found
