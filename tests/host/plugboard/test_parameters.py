from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import InvalidRequestError, PluginError
from stretto.host.plugboard.parameters import (
    check_declared,
    declaration_fault,
    plain_values,
    resolved_parameters,
)
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

MINE = """
from dataclasses import dataclass, replace
from typing import Annotated
from annotated_types import Ge
from stretto.host import hookimpl
@dataclass(frozen=True)
class Parameters:
    amount: Annotated[int, Ge(1)] = 3
    share: float = 0.5
@hookimpl(wrapper=True)
def build_plan(request, host):
    plan = yield
    amount = host.plugin_parameters("{name}", Parameters, request).amount
    return replace(plan, notes=(*plan.notes, f"amount {{amount}}"), plugins={plugins})
"""


@dataclass(frozen=True)
class Place:
    x: int = 0


@dataclass(frozen=True)
class Good:
    on: bool = True
    amount: Annotated[int, Ge(1)] | None = None
    share: float | str = 0.5
    mode: Literal["a", 1] = "a"
    folder: Path = Path("x")
    words: tuple[str, ...] = ()
    pair: tuple[int, Place] = (1, Place())
    place: Place = field(default_factory=Place)
    made: int = field(default=3, init=False)


@dataclass
class Loose:
    on: bool = True


@dataclass(frozen=True)
class Needy:
    key: str


@dataclass(frozen=True)
class Strange:
    thing: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Around:
    loose: tuple[Loose, ...] = ()


@dataclass(frozen=True)
class Endless:
    inner: "Endless | None" = None


@dataclass(frozen=True)
class Unread:
    thing: "Nowhere" = 3  # type: ignore[name-defined]  # noqa: F821 - what the host cannot look up


@dataclass(frozen=True)
class Refusing:
    amount: int = 0

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError("amount is too small")


def test_what_can_be_read_is_taken() -> None:
    check_declared(SimpleNamespace(Settings=Needy, Parameters=Good))
    assert declaration_fault(SimpleNamespace()) is None


TYPES = "a type that no value of JSON or TOML is read into"


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (3, "Parameters is 3; it must be a frozen dataclass"),
        (Good(), "it must be a frozen dataclass"),
        (dict, "Parameters is <class 'dict'>; it must be a frozen dataclass"),
        (Loose, "Parameters is a dataclass that can be changed; write @dataclass(frozen=True)"),
        (Needy, "Parameters.key has no default; give it one, since a request may leave it out"),
        (Strange, f"Parameters.thing is declared as dict[str, int], {TYPES}"),
        (Around, "Parameters.loose[] is a dataclass that can be changed"),
        (Endless, "Parameters.inner is Endless again, within itself"),
        (Unread, "the types of Parameters cannot be read: NameError: name 'Nowhere' is not defined"),
        (Refusing, "Parameters() raised ValueError: amount is too small; its defaults must do"),
    ],
)
def test_what_cannot_be_read_is_told(declared: Any, why: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_declared(SimpleNamespace(Parameters=declared))
    assert why in str(caught.value)
    assert declaration_fault(SimpleNamespace(Parameters=declared)) == str(caught.value)


def test_values_are_plain() -> None:
    assert plain_values(Good(words=("a",))) == {
        "on": True, "amount": None, "share": 0.5, "mode": "a", "folder": "x", "words": ["a"],
        "pair": [1, {"x": 0}], "place": {"x": 0},
    }  # fmt: skip


@pytest.fixture
def open_host(tmp_path: Path) -> Any:
    def opened(name: str, plugins: str = "plan.plugins", more: str = "") -> Host:
        (tmp_path / f"{name}.py").write_text(MINE.format(name=name, plugins=plugins) + more)
        file = tmp_path / "plugins.toml"
        file.write_text(f'[host]\nautoload = false\npaths = ["{name}.py"]\n')
        return Host.open(Folders(tmp_path / "data"), Settings(), plugins_file=file)

    return opened


def request(**plugins: Any) -> InvocationRequest:
    return InvocationRequest(prompt="x", width=64, height=64, plugins=plugins)


def test_a_plan_made_without_the_api_has_them_in_full(open_host: Any) -> None:
    with open_host("par_full") as host:
        plan = host.plan(request(par_full={"share": 1}))
        assert plan.plugins == {"par_full": {"amount": 3, "share": 1.0}}
        assert plan.notes[-1] == "amount 3"
        assert host.plan(request()).plugins == {}


def test_a_wrapper_that_leaves_them_out_does_not_take_them_from_the_plan(open_host: Any) -> None:
    with open_host("par_lost", plugins="{}") as host:
        assert host.plan(request(par_lost={})).plugins == {"par_lost": {"amount": 3, "share": 0.5}}


def test_every_fault_is_told_without_the_api_too(open_host: Any) -> None:
    with open_host("par_wrong") as host:
        with pytest.raises(InvalidRequestError) as caught:
            host.plan(request(par_wrong={"amount": 0, "share": "x", "shade": 1}, par_worng={}, vaes={}))
        assert [str(fault) for fault in caught.value.faults] == [
            "plugins.par_wrong.amount: must be at least 1, not 0",
            "plugins.par_wrong.share: must be a number, not 'x'",
            "plugins.par_wrong.shade: is not known here; did you mean 'share'?",
            "plugins.par_worng: is no plugin here; did you mean 'par_wrong'?",
            "plugins.vaes: takes no parameters; leave it out",
        ]
        assert resolved_parameters(host.board, {}) == {}


def test_a_plugin_that_declares_what_cannot_be_read_is_a_broken_row(open_host: Any) -> None:
    with open_host("par_broken", more="Settings = 3\n") as host:
        row = next(row for row in host.plugins() if row.name == "par_broken")
        assert (row.status, row.reason) == ("broken", "Settings is 3; it must be a frozen dataclass")
