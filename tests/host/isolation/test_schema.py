from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, MaxLen
from stretto.host.errors import ConfigurationError, PluginError
from stretto.host.isolation.schema import described, made
from stretto.host.plugboard.tables import read_table


@dataclass(frozen=True)
class Told:
    """What it is told."""

    needed: int
    share: Annotated[float, Ge(0.0), Le(1.0)] = 0.5
    steps: Annotated[int, Gt(0), "how many"] = 3
    mode: Literal["soft", "hard"] = "soft"
    folder: Path = Path("here")
    folders: tuple[Path, ...] = (Path("a"), Path("b"))
    pair: tuple[int, float] = (1, 2.0)
    name: Annotated[str, MaxLen(4)] | None = None
    on: bool = field(default=False, metadata={"title": "On"})
    words: tuple[str, ...] = field(default_factory=lambda: ("one",))


def _there(kind: type) -> Any:
    return made(json.loads(json.dumps(described(kind))))


def test_a_dataclass_is_the_same_on_the_other_side() -> None:
    there = _there(Told)
    assert (there.__name__, there.__doc__) == (Told.__name__, Told.__doc__)
    values, ours = there(needed=1), Told(needed=1)
    assert [(one.name, getattr(values, one.name)) for one in fields(there)] == [
        (one.name, getattr(ours, one.name)) for one in fields(Told)
    ]
    assert dict(fields(there)[8].metadata) == {"title": "On"}
    with pytest.raises(FrozenInstanceError):
        values.needed = 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "T needs the key 'needed'"),
        ({"needed": 1, "share": 1.5}, "T share must be at most 1.0, not 1.5"),
        ({"needed": 1, "steps": 0}, "T steps must be above 0, not 0"),
        ({"needed": 1, "mode": "sofd"}, "T mode cannot be 'sofd'; did you mean 'soft'?"),
        ({"needed": 1, "shares": 1}, "T has no key 'shares'; did you mean 'share'?"),
        ({"needed": 1, "on": "yes"}, "T on must be true or false, not 'yes'"),
    ],
)
def test_it_refuses_the_same_tables_in_the_same_words(table: dict[str, Any], message: str) -> None:
    for kind in (Told, _there(Told)):
        with pytest.raises(ConfigurationError) as caught:
            read_table(table, kind, "T")
        assert str(caught.value) == message


def test_it_reads_the_same_tables() -> None:
    table = {"needed": 4, "share": 1, "folder": "/x", "folders": ["y"], "name": "me", "words": []}
    there = read_table(table, _there(Told), "T")
    ours = read_table(table, Told, "T")
    assert [getattr(there, one.name) for one in fields(Told)] == [
        getattr(ours, one.name) for one in fields(Told)
    ]


def test_a_type_that_no_table_is_read_into_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: dict[str, int] = field(default_factory=dict)

    with pytest.raises(PluginError, match=r"^the field 'value' is declared as dict\[str, int\]"):
        described(Odd)


def test_what_is_no_dataclass_is_refused() -> None:
    with pytest.raises(PluginError, match=r"^Path must be a frozen dataclass$"):
        described(Path)
