from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from stretto.host.errors import ConfigurationError, PluginError
from stretto.host.plugboard.tables import read_table


@dataclass(frozen=True)
class Sample:
    tile: Annotated[int, Ge(64), Le(1024)] = 512
    share: Annotated[float, Gt(0), Lt(1)] = 0.5
    mode: Literal["fast", "fine"] = "fast"
    names: tuple[str, ...] = ()
    folder: Path | None = None
    limit: int | str = 1
    on: bool = False
    made: str = field(default="", init=False)


@dataclass(frozen=True)
class Needy:
    key: str


@dataclass(frozen=True)
class Strange:
    thing: complex = 0j


@dataclass(frozen=True)
class Inner:
    x: int = 0


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    pair: tuple[int, str] = (1, "a")
    word: Annotated[str, MinLen(2), MaxLen(3)] = "ab"
    step: Annotated[int, MultipleOf(8)] = 8

    def __post_init__(self) -> None:
        if self.step == 64:
            raise ValueError("64 is too much")


def test_reads_tables_within_tables_and_fixed_lists() -> None:
    values = {"inner": {"x": 3}, "pair": [2, "b"], "word": "abc", "step": 16}
    assert read_table(values, Outer, "t") == Outer(Inner(3), (2, "b"), "abc", 16)
    assert read_table({"folder": None}, Sample, "t").folder is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": 3}, "t inner must be a table, not 3"),
        ({"inner": {"y": 3}}, "t inner has no key 'y'; known: x"),
        ({"inner": {"x": "y"}}, "t inner x must be a whole number, not 'y'"),
        ({"pair": [1]}, "t pair must be a list of 2, not of 1"),
        ({"pair": ["a", "b"]}, "t pair[0] must be a whole number, not 'a'"),
        ({"word": "a"}, "t word must have at least 2 of them, not 1"),
        ({"word": "abcd"}, "t word must have at most 3 of them, not 4"),
        ({"step": 12}, "t step must be a multiple of 8, not 12"),
        ({"step": 64}, "t cannot be so: 64 is too much"),
        ({"word": None}, "t word must be a string, not None"),
    ],
)
def test_says_what_is_wrong_within(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_table(values, Outer, "t")
    assert str(caught.value) == message


def test_reads_every_type() -> None:
    values: dict[str, Any] = {
        "tile": 64, "share": 0.25, "mode": "fine", "names": ["a", "b"], "folder": "x/y", "limit": "none", "on": True,
    }  # fmt: skip
    expected = Sample(64, 0.25, "fine", ("a", "b"), Path("x/y"), "none", True)
    assert read_table(values, Sample, "t") == expected


def test_an_empty_table_is_all_defaults() -> None:
    assert read_table({}, Sample, "t") == Sample()


def test_a_whole_number_is_a_number() -> None:
    with pytest.raises(ConfigurationError, match="must be below 1"):
        read_table({"share": 1}, Sample, "t")
    assert read_table({"limit": 3}, Sample, "t").limit == 3


@pytest.mark.parametrize(
    ("values", "into", "message"),
    [
        ({"tyle": 1}, Sample, "t has no key 'tyle'; did you mean 'tile'?"),
        ({"made": "x"}, Sample, "t has no key 'made'; did you mean 'mode'?"),
        ({"tile": 63}, Sample, "t tile must be at least 64, not 63"),
        ({"tile": 1025}, Sample, "t tile must be at most 1024, not 1025"),
        ({"share": 0.0}, Sample, "t share must be above 0, not 0.0"),
        ({"tile": "64"}, Sample, "t tile must be a whole number, not '64'"),
        ({"tile": True}, Sample, "t tile must be a whole number, not True"),
        ({"on": 1}, Sample, "t on must be true or false, not 1"),
        ({"share": "x"}, Sample, "t share must be a number, not 'x'"),
        ({"mode": "fist"}, Sample, "t mode cannot be 'fist'; did you mean 'fast'?"),
        ({"names": "a"}, Sample, "t names must be a list, not 'a'"),
        ({"names": ["a", 2]}, Sample, "t names[1] must be a string, not 2"),
        ({"folder": 3}, Sample, "t folder must be a string, not 3"),
        (
            {"limit": 1.5},
            Sample,
            "t limit must be a whole number, not 1.5; t limit must be a string, not 1.5",
        ),
        ({}, Needy, "t needs the key 'key'"),
        (
            {"thing": 1},
            Strange,
            "t thing is declared as <class 'complex'>, a type that no TOML value is read into",
        ),
        ({}, int, "t is read into int, which is no dataclass"),
    ],
)
def test_says_what_is_wrong(values: dict[str, Any], into: type, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_table(values, into, "t")
    assert str(caught.value) == message


@dataclass(frozen=True)
class Broken:
    step: int = 1

    def __post_init__(self):
        raise KeyError(self.step)


def test_whatever_a_dataclass_raises_names_its_table():
    said = r"^plugins\.mine cannot be read, as Broken raised KeyError: 1; its author should refuse values"
    with pytest.raises(PluginError, match=said):
        read_table({}, Broken, "plugins.mine")
