"""Whether engines that were built for some target are for this machine, without opening one."""

from __future__ import annotations

import re

from .gpu import compute_capability

__all__ = ["foreign"]

_SM = re.compile(r"sm_?(\d+)(\d)\b")  # compute capability as CUDA's compilers write it: sm89, sm120


def foreign(target: str) -> str | None:
    """Say why an engine for `target` is another machine's, or None; the compiler has the last word at opening."""
    named = _SM.match(target)
    if named is None:
        return None
    here = compute_capability()
    if here is None:
        return f"it is for GPUs of {target}, and there is none here"
    if here != (int(named[1]), int(named[2])):
        return f"it is for GPUs of {target}, and the one here is sm{here[0]}{here[1]}"
    return None
