from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from stretto.host.contracts.specs import CompilerSpec, SchedulerSpec, UpscalerSpec
from stretto.host.errors import (
    BadRequestError,
    ConfigurationError,
    InvalidRequestError,
    OutOfMemoryError,
    PluginError,
    StrettoError,
    UnavailableError,
    UnsupportedError,
    UpstreamError,
    WeightsError,
)
from stretto.host.hookspecs import hookimpl
from stretto.host.plugboard.board import Board
from stretto.host.plugboard.calls import Calls, Place
from stretto.host.plugboard.culprit import nearest, reason
from stretto.host.plugboard.discover import Candidate, Found
from stretto.host.plugboard.switches import Switches
from stretto.host.runtime.premises import make
from stretto.host.settings import Folders


class Torch:
    """Stands where torch's own error is: it is known by its name."""

    OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the name of a package on the path, whose plugin does its work in a module of its own."""
    folder = tmp_path / "culprit_pack"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from stretto.host import hookimpl\nfrom .deep import work\n\n\n@hookimpl\ndef build_plan(request):\n"
        "    return request(work)\n"
    )
    (folder / "deep.py").write_text("def work():\n    return {}['lost']\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "culprit_pack"
    for name in [name for name in sys.modules if name.startswith("culprit_pack")]:
        del sys.modules[name]


@pytest.fixture
def board() -> Iterator[Any]:
    """Give a function that opens a board over objects as plugins, by name."""
    opened: list[Board] = []

    def open_(**plugins: object) -> Board:
        switches = Switches(autoload=False)
        view: Any = SimpleNamespace(version="1", plugin_settings=switches.plugin_settings)
        more = [
            Candidate(Found(name=name, origin="an object", version="1", rank=0), lambda plugin=plugin: plugin)
            for name, plugin in plugins.items()
        ]
        opened.append(Board.open(switches, view, [], built_ins=(), more=more))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def raising(error: BaseException) -> Any:
    def raise_it() -> None:
        raise error

    return raise_it


def test_a_packages_modules_count_as_its_plugin(board: Any, package: str) -> None:
    plugin = __import__(package)
    made = board(packed=plugin)
    with pytest.raises(PluginError, match=r"^the plugin 'packed' raised in build_plan: KeyError: 'lost'$"):
        made.first("build_plan", request=lambda work: work(), host=None)
    with pytest.raises(KeyError) as caught:
        plugin.work()
    assert nearest(caught.value, made.calls.roots) == "packed"  # beside all calls
    assert str(made.calls.blamed(caught.value)) == "the plugin 'packed' raised in drawing: KeyError: 'lost'"
    (drawn,) = (one for one in made.ledger.take() if one.hook == "drawing")
    assert (drawn.calls, drawn.failures, drawn.last) == (0, 1, "KeyError: 'lost'")


def test_of_two_plugins_the_one_whose_code_raised_is_charged(board: Any, package: str) -> None:
    class Caller:
        @hookimpl
        def build_plan(self) -> Any:
            return __import__(package).work()

    made = board(caller=Caller(), packed=__import__(package))  # where the first one is asked first
    with pytest.raises(PluginError, match="the plugin 'packed' raised in build_plan"):
        made.first("build_plan", request=None, host=None)
    assert {one.plugin: one.failures for one in made.ledger.take()} == {"caller": 0, "packed": 1}


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("the caller's words"),
        InvalidRequestError(()),
        UnsupportedError("not here"),
        UnavailableError("not now"),
        OutOfMemoryError("no room"),
        MemoryError("no room"),
        Torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_failure_passes_as_it_is(error: Exception) -> None:
    calls = Calls()
    with pytest.raises(type(error)) as caught:
        calls.called(Place("mine", "run_step"), raising(error))()
    assert caught.value is error
    (row,) = calls.ledger.take()
    assert (row.calls, row.failures) == (1, 0)
    assert calls.blamed(error) is error


def test_ctrl_c_stops_the_program_and_not_only_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    # who runs in the background may have been told to ignore it
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.default_int_handler)
    calls = Calls()
    call = calls.called(Place("mine", "run_step"), raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        call()
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - which one is asked below
            raised.append(error)

    thread = threading.Thread(target=elsewhere)  # where no Ctrl-C comes
    thread.start()
    thread.join()
    assert str(raised[0]) == "the plugin 'mine' raised in run_step: KeyboardInterrupt"


def test_a_plugins_own_plugin_error_counts_once() -> None:
    calls = Calls()
    inner = calls.called(Place("inner", "run_step"), raising(PluginError("its process ended")))
    said = r"^the plugin 'inner' raised in run_step: PluginError: its process ended$"
    with pytest.raises(PluginError, match=said):
        calls.called(Place("outer", "run_step"), inner)()
    assert {one.plugin: one.failures for one in calls.ledger.take()} == {"inner": 1, "outer": 0}


@pytest.mark.parametrize(
    "error", [WeightsError("w"), UpstreamError("u", again=True), ConfigurationError("c"), StrettoError("s")]
)
def test_a_plugins_own_error_of_our_tree_names_it_and_stays_what_it_is(error: StrettoError) -> None:
    calls, words = Calls(), f"{type(error).__name__}: {error}"
    inner = calls.called(Place("inner", "loader.load", "load of the loader 'x'"), raising(error))
    with pytest.raises(type(error)) as caught:
        calls.called(Place("outer", "run_step"), inner)()
    assert caught.value is error
    assert str(error) == f"the plugin 'inner' raised in load of the loader 'x': {words}"
    rows = {one.plugin: (one.calls, one.failures, one.last) for one in calls.ledger.take()}
    assert rows == {"inner": (1, 1, f"load of the loader 'x' raised {words}"), "outer": (1, 0, "")}
    assert calls.blamed(error) is error


class WordyError(WeightsError):
    def __str__(self) -> str:
        return "its own words"


def test_an_error_of_our_tree_that_cannot_be_told_more_becomes_the_plugins() -> None:
    with pytest.raises(
        PluginError, match=r"^the plugin 'mine' raised in run_step: WordyError: its own words$"
    ):
        Calls().called(Place("mine", "run_step"), raising(WordyError()))()


def test_what_the_host_answers_within_a_plugins_call_is_not_the_plugins_failure(tmp_path: Path) -> None:
    calls = Calls()
    call = calls.called(Place("mine", "host_started"), lambda: make(Folders(tmp_path / "file" / "data")))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert "mine" not in str(caught.value)
    assert [one.failures for one in calls.ledger.take()] == [0]


def test_built_in_plugins_answer_as_the_host_does() -> None:
    calls = Calls()
    calls.roots = {"stretto.plugins.patchers": frozenset({"patchers"})}
    with pytest.raises(WeightsError, match=r"^broken$"):
        calls.called(Place("patchers", "patcher.applied", "applied"), raising(WeightsError("broken")))()
    assert [one.failures for one in calls.ledger.take()] == [0]


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_any_exception_can_be_said() -> None:
    assert reason(KeyError("x")) == "KeyError: 'x'"
    assert reason(StopIteration()) == "StopIteration"
    assert reason(MuteError()) == "MuteError (its __str__ raised RuntimeError)"


# what specs build


class Slotted:
    __slots__ = ("seen",)

    def upscale(self, image: Any, amount: int) -> Any:
        self.seen = image
        return image * amount

    def pieces(self, image: Any, amount: int) -> Iterator[Any]:
        yield image * amount
        raise OSError("half way")


class Makes:
    def __init__(self, made: Any) -> None:
        self.made = made

    @hookimpl
    def register_upscalers(self) -> Any:
        yield UpscalerSpec(name="big", build=lambda _: self.made, missing=lambda: 1 / 0)  # type: ignore[arg-type,return-value]

    @hookimpl
    def register_schedulers(self) -> Any:
        yield SchedulerSpec(name="odd", build=dict)  # type: ignore[arg-type]  # a class, which makes no scheduler


def test_what_is_built_is_what_the_plugin_made_and_timed(board: Any) -> None:
    made = board(mine=Makes(one := Slotted()))
    spec = made.registry("upscalers").get("big")
    built = spec.build("cpu")
    assert built is one is spec.build("cpu")
    assert isinstance(built, Slotted)
    assert type(built).__name__ == "Slotted"
    assert built.upscale(2, 3) == 6
    assert built.seen == 2
    parts = built.pieces(1, 1)
    assert next(parts) == 1
    with pytest.raises(
        PluginError, match="the plugin 'mine' raised in pieces of the upscaler 'big': OSError: half way"
    ):
        next(parts)
    with pytest.raises(
        PluginError, match="the plugin 'mine' raised in missing of the upscaler 'big': ZeroDivision"
    ):
        spec.missing()
    rows = {one.hook: (one.calls, one.failures) for one in made.ledger.take()}
    assert rows["upscaler.upscale"] == (1, 0)
    assert rows["upscaler.pieces"] == (3, 1)  # asked for, one part, and the failure
    assert rows["upscaler.build"] == (2, 0)


class Sealed:
    """Its class cannot be had anew, for a reason of its own."""

    def __init_subclass__(cls) -> None:
        raise RuntimeError("sealed")

    def upscale(self, image: Any, _amount: int) -> Any:
        return image


class Holds:
    """Has its method itself."""

    def __init__(self) -> None:
        self.upscale = lambda image, _amount: image


@pytest.mark.parametrize(
    "one",
    [SimpleNamespace(upscale=lambda image, _: image), Sealed(), Holds(), ModuleType("held")],
    ids=lambda one: type(one).__name__,
)
def test_calls_of_what_has_no_class_that_can_be_had_anew_are_timed_as_well(board: Any, one: Any) -> None:
    if isinstance(one, ModuleType):
        one.upscale = lambda image, _: image  # type: ignore[attr-defined]  # as in a module's file
    made = board(mine=Makes(one))
    spec = made.registry("upscalers").get("big")
    built = spec.build("cpu")
    assert built is one is spec.build("cpu")
    assert built.upscale("a", 2) == "a"
    assert {row.hook: row.calls for row in made.ledger.take()}["upscaler.upscale"] == 1


def test_what_is_made_beside_the_contract_stays_as_it_is(board: Any) -> None:
    made = board(mine=Makes(Slotted()))
    assert made.registry("schedulers").get("odd").build({"beta": 1}) == {"beta": 1}


def test_a_compiled_network_that_is_a_function_is_timed(board: Any) -> None:
    class Compiler:
        def open(self, *_: object) -> Any:
            return lambda inputs: inputs

        def refit(self, *_: object) -> None:
            raise OSError("read-only")

    class Compiles:
        @hookimpl
        def register_compilers(self) -> Any:
            yield CompilerSpec(name="c", build=Compiler, components=(), precisions=())  # type: ignore[arg-type]

    made = board(mine=Compiles())
    compiler = made.registry("compilers").get("c").build()
    assert compiler.open()(5) == 5
    with pytest.raises(PluginError, match="the plugin 'mine' raised in refit of the compiler 'c': OSError"):
        compiler.refit(None)
    rows = {row.hook: (row.calls, row.failures) for row in made.ledger.take()}
    assert rows["compiled_network.call"] == (1, 0)
    assert rows["compiler.refit"] == (1, 1)
