from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, MaxLen
from pydantic import TypeAdapter
from stretto.api.plugin_forms import read_body
from stretto.host.errors import ConfigurationError, PluginError
from stretto.host.isolation.declared import Declared
from stretto.host.isolation.schema import made
from stretto.host.plugboard.parameters import check_declared, plain_values
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


@dataclass(frozen=True)
class Grain:
    """How coarse."""

    size: Annotated[int, Interval(ge=1, le=9)] = 3
    name: Annotated[str, Len(1, 4)] = "fine"


@dataclass(frozen=True)
class Inner:
    depth: Annotated[int, Ge(1), Le(4)] = 2
    grain: Grain = Grain()
    either: Grain | float | None = None


@dataclass(frozen=True)
class Outer:
    """Several deep."""

    COUNT: ClassVar[int] = 1
    inner: Inner = Inner(depth=3)
    inners: tuple[Inner, ...] = (Inner(), Inner(depth=4, either=Grain(size=5)))
    pair: tuple[Grain, Path | str] = (Grain(size=1), "x")
    grown: Inner = field(default_factory=lambda: Inner(either=0.5))
    maybe: Inner | None = field(default=None, metadata={"description": "perhaps"})
    level: Literal[1, 2, "all", True] = "all"
    own: int = field(init=False, default=7)
    hidden: dict[str, int] = field(init=False, default_factory=dict)


@dataclass(frozen=True)
class Span:
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        object.__setattr__(self, "high", self.high // 10 * 10 + 9)


@dataclass(frozen=True)
class Spans:
    span: Span = Span()
    spans: tuple[Span, ...] = ()
    total: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(one.high for one in self.spans))


def _there(kind: type, calls: list[Any] | None = None, table: dict[str, Any] | None = None) -> Any:
    """Give what stands for a dataclass on the other side, whose own checks are asked for as over the pipe."""
    declared = Declared(kind, "Settings")

    def construct(number: int, values: Any) -> Any:
        if calls is not None:
            calls.append(values)
        got = json.loads(json.dumps(declared.constructed(number, json.loads(json.dumps(values)))))
        if "refused" in got:
            raise ValueError(got["refused"])
        return got["values"]

    return made(json.loads(json.dumps(declared.said(table or {}))), construct)


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


def test_nested_ones_have_the_same_defaults_and_the_same_schema() -> None:
    there = _there(Outer)
    assert asdict(there()) == {key: value for key, value in asdict(Outer()).items() if key != "hidden"}
    assert there().inner == there.__dataclass_fields__["inner"].default
    schema = TypeAdapter(Outer).json_schema()
    del schema["properties"]["hidden"]  # which nobody can give, and has a type that cannot be sent
    assert TypeAdapter(there).json_schema() == schema
    check_declared(type("Plugin", (), {"Parameters": there}))


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


@pytest.mark.parametrize(
    "body",
    [
        {"inner": {"depth": 9}},
        {"inner": {"grain": {"size": 0, "name": "toolong"}}},
        {"inner": {"grian": {}}},
        {"inners": [{}, {"depth": "x"}]},
        {"inner": 3, "level": "al"},
        {"pair": [{}]},
        {"maybe": {"either": {"size": 99}}},
        {"own": 3},
        {"inner": {"depth": 1}, "inners": [{"grain": {"name": "ok"}}], "maybe": None, "level": 2},
        {"pair": [{"size": 2}, "z"], "maybe": {"either": 1}},
    ],
)
def test_bodies_and_tables_are_read_alike_at_every_depth(body: dict[str, Any]) -> None:
    there = _there(Outer)
    (ours, faults), (theirs, found) = read_body(Outer, body), read_body(there, body)
    assert found == faults
    assert plain_values(theirs) == plain_values(ours)
    assert _outcome(there, body) == _outcome(Outer, body)


def _outcome(kind: Any, table: dict[str, Any]) -> Any:
    try:
        return plain_values(read_table(table, kind, "T"))
    except ConfigurationError as error:
        return str(error).replace(repr(kind), "kind")


def test_the_field_of_a_fault_is_named_from_the_top() -> None:
    _, faults = read_body(_there(Outer), {"inner": {"grain": {"size": 0}}, "inners": [{"depth": 5}]})
    assert [fault.field for fault in faults] == ["inner.grain.size", "inners[0].depth"]


@pytest.mark.parametrize(
    "body",
    [
        {"span": {"low": 5, "high": 2}},
        {"spans": [{"high": 11}, {"low": 1, "high": 0}]},
        {"spans": [{"high": 11}, {"high": 25}]},
        {"span": {}},
    ],
)
def test_what_a_dataclass_says_of_its_values_itself_counts_here(body: dict[str, Any]) -> None:
    there = _there(Spans)
    (ours, faults), (theirs, found) = read_body(Spans, body), read_body(there, body)
    assert (plain_values(theirs), found) == (plain_values(ours), faults)
    assert _outcome(there, body) == _outcome(Spans, body)


def test_defaults_and_the_table_in_force_are_not_asked_about_again() -> None:
    calls: list[Any] = []
    table = {"span": {"high": 12}}
    there = _there(Spans, calls, table)
    assert there().span.high == 9
    assert read_table(table, there, "T").span.high == 19
    assert calls == []
    read_table({"span": {"high": 13}}, there, "T")
    assert calls == [{"low": 0, "high": 13}]


def test_it_reads_the_same_tables() -> None:
    table = {"needed": 4, "share": 1, "folder": "/x", "folders": ["y"], "name": "me", "words": []}
    there = read_table(table, _there(Told), "T")
    ours = read_table(table, Told, "T")
    assert [getattr(there, one.name) for one in fields(Told)] == [
        getattr(ours, one.name) for one in fields(Told)
    ]


def test_what_cannot_be_sent_is_said_with_its_field() -> None:
    @dataclass(frozen=True)
    class Within:
        word: Literal[b"raw"] = b"raw"

    @dataclass(frozen=True)
    class Odd:
        within: Within = Within()

    @dataclass(frozen=True)
    class Stray:
        value: float = 1j  # type: ignore[assignment]  # what plugins may do

    Odd.__annotations__["within"] = Within
    with pytest.raises(
        PluginError, match=r"^Settings\.within\.word has the literal b'raw', which cannot be sent"
    ):
        Declared(Odd, "Settings")
    with pytest.raises(PluginError, match=r"^Settings\.value has the value 1j, which cannot be sent"):
        Declared(Stray, "Settings")
