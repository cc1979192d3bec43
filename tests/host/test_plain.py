from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from stretto.host.contracts.plain import plain


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    at: tuple[float, ...] = ()


@dataclass(frozen=True)
class Outer:
    inner: Inner
    several: tuple[Inner | None, ...]
    named: dict[str, Inner] = field(default_factory=dict)
    colour: Colour = Colour.RED
    sizes: list[tuple[int, int]] = field(default_factory=list)


def test_it_gives_what_asdict_gives() -> None:
    inner = Inner("a", (0.5, 1.0))
    value = Outer(inner, (None, inner), {"key": inner}, sizes=[(1, 2)])
    assert plain(value) == asdict(value)
    assert json.dumps(plain(value)) == json.dumps(asdict(value))
    assert type(plain(value)["several"]) is tuple
    assert plain([value]) == [asdict(value)]
    assert plain(Inner) is Inner
