"""Which compilers there are, and why one cannot work here; asks them once, for libraries do not come and go."""

from __future__ import annotations

from functools import lru_cache

from stretto.host.runtime.host import Host

from .json_schema import TEXT, Shape, listed, thing

__all__ = ["COMPILERS", "compilers"]

COMPILERS: Shape = listed(
    thing(
        "*",
        name=TEXT,
        title=TEXT,
        available={"type": "boolean"},
        reason={"type": ["string", "null"], "description": "why it cannot compile here, and what would do"},
    )
)


@lru_cache(maxsize=1)
def compilers(host: Host) -> tuple[dict[str, object], ...]:
    """Give one row a compiler: `name`, `title`, `available`, `reason`; imports none of their libraries."""
    return tuple(
        {"name": name, "title": spec.title, "available": (why := spec.missing()) is None, "reason": why}
        for name, spec in sorted(host.offers("compilers").items())
    )
