"""Which compiler's engines a plan is drawn with; whether there are any, the engine finds out."""

from __future__ import annotations

from ..contracts.acceleration import Acceleration
from ..contracts.specs import CompilerSpec
from .draft import Draft

__all__ = ["pick_acceleration"]

# What `build_tensorrt` alone asks for: the first that can build here.
TENSORRT = ("tensorrt", "tensorrt_rtx")
NONE = "none"  # draws with torch where the setting or the stored model says otherwise


def pick_acceleration(draft: Draft) -> Acceleration | None:
    """Give the compiler that was asked for, set, or is meant by `build_tensorrt`; None is torch.

    An unknown one is a fault, and so is one that is to build and cannot; one that has no library here
    is a note, for its work is done by torch.
    """
    request = draft.request
    word = request.acceleration or (None if request.build_tensorrt else draft.host.settings.acceleration)
    if word == NONE:
        if request.build_tensorrt:
            draft.fault("acceleration", "'none' builds nothing; leave it out, or build_tensorrt")
        return None
    if word is None:
        return _tensorrt(draft) if request.build_tensorrt else None
    name = draft.offered("compilers", "acceleration", word)
    if name is None:
        return None
    spec: CompilerSpec = draft.host.offer("compilers", name)
    why = spec.missing()
    if why and request.build_tensorrt:
        draft.fault("build_tensorrt", f"'{name}' cannot build here: {why}")
    elif why:
        draft.note(f"acceleration: '{name}' cannot compile here ({why}); torch draws what has no engine yet")
    return Acceleration(requested=name, build=request.build_tensorrt)


def _tensorrt(draft: Draft) -> Acceleration | None:
    reasons = []
    offers = draft.host.offers("compilers")
    for name in TENSORRT:
        why = offers[name].missing() if name in offers else "no plugin offers it"
        if why is None:
            return Acceleration(requested=name, build=True)
        reasons.append(f"'{name}': {why}")
    others = ", ".join(sorted(set(offers).difference(TENSORRT))) or "none"
    draft.fault(
        "build_tensorrt",
        f"nothing can build it here; {'; '.join(reasons)}; other values of acceleration: {others}",
    )
    return None
