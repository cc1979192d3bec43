"""What makes two compiled engines the same; knows no network and no library, only their names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["AxisRange", "EngineKey"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AxisRange:
    """The lengths of one named axis that an engine takes; `opt` is the one that it is tuned for."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        """Refuse a range that no length lies in."""
        if not 1 <= self.min <= self.opt <= self.max:
            msg = f"an axis range is 1 <= min <= opt <= max, not {self.min}, {self.opt}, {self.max}"
            raise ValueError(msg)

    @classmethod
    def only(cls, length: int) -> AxisRange:
        """Give the range of one length."""
        return cls(min=length, opt=length, max=length)

    @property
    def static(self) -> bool:
        """Say whether there is but one length."""
        return self.min == self.max

    def holds(self, length: int) -> bool:
        """Say whether an axis of this length lies within."""
        return self.min <= length <= self.max


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """All that decides what an engine computes and where it runs: equal keys share one engine.

    `graph` is the digest of the network's architecture and of all weights in it, merged ones included.
    `axes` are the ranges of the named axes, by name. `target` is what it is built for, as the compiler says
    it (`sm89`, `cpu`), `version` the compiler's library and version, `flags` the builder's flags.
    """

    component: str
    graph: str
    axes: tuple[tuple[str, AxisRange], ...]
    precision: str
    compiler: str
    version: str
    target: str
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Put what has no order of its own into one."""
        object.__setattr__(self, "axes", tuple(sorted(self.axes)))
        object.__setattr__(self, "flags", tuple(sorted(self.flags)))

    @property
    def static(self) -> bool:
        """Say whether only one size is taken."""
        return all(span.static for name, span in self.axes if name in ("height", "width"))

    def covers(self, other: EngineKey) -> bool:
        """Say whether keys differ in nothing but ranges, and these hold all lengths that `other` is tuned for."""
        spans = dict(self.axes)
        return replace(self, axes=other.axes) == other and all(
            name in spans and spans[name].holds(span.opt) for name, span in other.axes
        )

    @property
    def digest(self) -> str:
        """Give the SHA-256 of the key's JSON, 64 hexadecimal digits: the name of the engine's folder."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        plain = asdict(self)
        plain["axes"] = {name: [span.min, span.opt, span.max] for name, span in self.axes}
        plain["flags"] = list(self.flags)
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> EngineKey:
        """Read what `to_json` gave; raises KeyError, TypeError or ValueError for anything else."""
        axes = tuple(
            (str(name), AxisRange(min=low, opt=opt, max=high))
            for name, (low, opt, high) in plain["axes"].items()
        )
        texts = {
            name: str(plain[name])
            for name in ("component", "graph", "precision", "compiler", "version", "target")
        }
        return cls(axes=axes, flags=tuple(map(str, plain["flags"])), **texts)
