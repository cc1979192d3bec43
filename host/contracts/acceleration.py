"""What a plan says of compiled engines: what was asked for, and in its record what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .engines import Component

__all__ = ["Acceleration", "Build", "acceleration_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceleration:
    """A compiler by its offered name; `build` has missing engines built, in a server beside, else before the drawing.

    `used` are the components that ran compiled, `why` says of the others why torch ran them, and `missing`
    what can be built for the next job; all are filled while the job runs.
    """

    requested: str
    build: bool = False
    used: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    missing: tuple[Build, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One engine that a plan is there to build, instead of pictures.

    `target` is what it is built for, as the compiler says it; None is this machine. `inpainter` has the
    inpainting model's network compiled instead of the base model's, `refiner` the refiner's. `profile` is
    the policy for the sizes that it takes; None is the compiler's own.
    """

    component: Component
    compiler: str
    target: str | None = None
    inpainter: bool = False
    refiner: bool = False
    profile: Literal["static", "range"] | None = None


def acceleration_json(value: Acceleration | None) -> dict[str, Any] | None:
    """Give the record's `acceleration`; null where none was asked for."""
    if value is None:
        return None
    return {"requested": value.requested, "used": list(value.used), "why": list(value.why)}
