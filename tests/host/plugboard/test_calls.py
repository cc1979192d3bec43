from __future__ import annotations

from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest
from stretto.host.contracts.costs import Spent
from stretto.host.errors import BadRequestError, PluginError
from stretto.host.plugboard.board import Board
from stretto.host.plugboard.calls import Calls
from stretto.host.plugboard.switches import Switches


class Clock:
    """A clock that is put on by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


spec, impl = pluggy.HookspecMarker("stretto"), pluggy.HookimplMarker("stretto")


class Specs:
    @spec(firstresult=True)
    def run(self, word: str) -> str:
        raise NotImplementedError


class Worker:
    """Takes two seconds, or refuses, or fails."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    @impl
    def run(self, word: str) -> str:
        self.clock.now += 2
        if word == "refuse":
            raise BadRequestError("no")
        if word == "fail":
            raise KeyError(word)
        return word.upper()


class Around:
    """Takes one second before and three after."""

    def __init__(self, clock: Clock, *, fails: bool = False) -> None:
        self.clock = clock
        self.fails = fails

    @impl(wrapper=True)
    def run(self) -> Generator[None, Any, Any]:
        self.clock.now += 1
        try:
            answer = yield
        finally:
            self.clock.now += 3
        if self.fails:
            raise OSError("afterwards")
        return f"<{answer}>"


class Old:
    """An old-style wrapper, which is given a Result."""

    @impl(hookwrapper=True)
    def run(self) -> Iterator[None]:
        outcome = yield
        outcome.force_result(outcome.get_result() + "!")


def calling(calls: Calls, **plugins: object) -> Any:
    manager = pluggy.PluginManager("stretto")
    manager.add_hookspecs(Specs)
    for name, plugin in plugins.items():
        manager.register(plugin, name)
        for caller in manager.get_hookcallers(plugin) or []:
            for one in caller.get_hookimpls():
                if one.plugin is plugin:
                    calls.implementation(name, caller.name, one)
    return manager.hook.run


def test_each_plugin_pays_for_what_it_does_itself(clock: Clock) -> None:
    calls = Calls(clock)
    run = calling(calls, worker=Worker(clock), around=Around(clock), old=Old())
    assert run(word="a") == "<A>!"
    assert run(word="b") == "<B>!"
    assert {one.plugin: one for one in calls.ledger.take()} == {
        "worker": Spent(plugin="worker", hook="run", calls=2, seconds=4),
        "around": Spent(plugin="around", hook="run", calls=2, seconds=8),
        "old": Spent(plugin="old", hook="run", calls=2, seconds=0),
    }
    assert calls.ledger.take() == ()


def test_failures_are_those_of_whoever_failed(clock: Clock) -> None:
    calls = Calls(clock)
    run = calling(calls, worker=Worker(clock), around=Around(clock))
    with pytest.raises(KeyError):
        run(word="fail")
    with pytest.raises(BadRequestError):
        run(word="refuse")
    assert {one.plugin: (one.calls, one.seconds, one.failures) for one in calls.ledger.take()} == {
        "worker": (2, 4, 1),
        "around": (2, 8, 0),
    }
    run = calling(calls, worker=Worker(clock), around=Around(clock, fails=True))
    with pytest.raises(OSError, match="afterwards"):
        run(word="a")
    assert {one.plugin: one.failures for one in calls.ledger.take()} == {"worker": 0, "around": 1}


def test_a_wrapper_that_never_yields_is_told_so(clock: Clock) -> None:
    class Barren:
        @impl(wrapper=True)
        def run(self) -> Generator[None, Any, Any]:
            return
            yield

    with pytest.raises(PluginError, match="the plugin 'barren' is wrong in run: it did not yield"):
        calling(Calls(clock), barren=Barren())(word="a")


def test_a_board_charges_plugins_and_not_the_host(tmp_path: Any) -> None:
    for name, body in (("slow", "time.sleep(0.05)"), ("wild", "raise OSError('lost')")):
        (tmp_path / f"{name}.py").write_text(
            "import time\nfrom stretto.host import hookimpl\n"
            f"@hookimpl\ndef build_plan(request):\n    {body}\n@hookimpl\ndef observe(event):\n    {body}\n"
        )

    class Core:
        @impl
        def build_plan(self) -> str:
            return "planned"

    switches = Switches(autoload=False, paths=(tmp_path / "slow.py",))
    view: Any = SimpleNamespace(version="1", plugin_settings=switches.plugin_settings)
    board = Board.open(switches, view, [Core()], built_ins=())
    assert board.first("build_plan", request=None, host=view) == "planned"
    board.observe(None)  # type: ignore[arg-type]  # any event
    rows = {(one.plugin, one.hook): one for one in board.ledger.take()}
    assert set(rows) == {("slow", "build_plan"), ("slow", "observe")}
    assert all(row.calls == 1 and 0.05 <= row.seconds < 5 and not row.failures for row in rows.values())
    board.close()

    switches = Switches(autoload=False, paths=(tmp_path / "wild.py",))
    board = Board.open(switches, view, [Core()], built_ins=())
    with pytest.raises(PluginError, match="the plugin 'wild' raised in build_plan"):
        board.first("build_plan", request=None, host=view)
    board.observe(None)  # type: ignore[arg-type]
    assert {(one.hook, one.failures) for one in board.ledger.take()} == {("build_plan", 1), ("observe", 1)}
    board.close()
