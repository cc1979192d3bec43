import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host import Started, hookimpl
from stretto.host.errors import ConfigurationError, NotFoundError, PluginClashError, PluginError
from stretto.host.plugboard.board import Board
from stretto.host.plugboard.switches import Switches

HEAD = """
from dataclasses import dataclass
from stretto.host import SchedulerSpec, VaeSpec, hookimpl
def build(config):
    return config
def scheduler(name, *aliases):
    return SchedulerSpec(name=name, aliases=aliases, build=build)
heard = []
"""
GOOD = "@hookimpl\ndef register_schedulers(host):\n    return [scheduler('{0}-one'), scheduler('{0}-two', '{0}-2')]\n"


class Bench:
    """A folder of plugin files and the boards that were opened over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        self.boards: list[Board] = []

    def plug(self, name: str, source: str) -> None:
        path = self.folder / f"{name}.py"
        path.write_text(HEAD + source)
        self.paths.append(path)

    def open(
        self, cores: tuple[object, ...] = (), tables: dict[str, Any] | None = None, **switches: Any
    ) -> Board:
        chosen = Switches(autoload=False, paths=tuple(self.paths), tables=tables or {}, **switches)
        view: Any = SimpleNamespace(version="9.9", plugin_settings=chosen.plugin_settings)
        self.boards.append(Board.open(chosen, view, cores, built_ins=()))
        return self.boards[-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for board in bench.boards:
        board.close()
    for path in bench.paths:
        sys.modules.pop(f"stretto_plugin_{path.stem}", None)


def module(name: str) -> Any:
    return sys.modules[f"stretto_plugin_{name}"]


def test_offers_are_rows_and_registries(bench: Bench) -> None:
    bench.plug("a", GOOD.format("a"))
    board = bench.open()
    (row,) = board.rows()
    assert (row.name, row.status, row.reason) == ("a", "on", None)
    assert row.offers == {"schedulers": ("a-one", "a-two")}
    assert board.registry("schedulers").get("a-2").name == "a-two"
    assert board.registry("schedulers").owner("a-2") == "a"
    assert board.registry("vaes").names() == ()
    with pytest.raises(NotFoundError, match="did you mean 'a-two'"):
        board.registry("schedulers").get("a-tow")
    with pytest.raises(ConfigurationError, match="did you mean 'schedulers'"):
        board.registry("scheduler")


BROKEN: list[tuple[str, str]] = [
    ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
    ("x = 1", "it has no hooks; decorate its functions with @stretto.host.hookimpl"),
    (
        "@hookimpl\ndef register_shedulers(host):\n    return []",
        "there is no hook 'register_shedulers'; did you mean 'register_schedulers'?",
    ),
    (
        "@hookimpl\ndef register_schedulers(hosts):\n    return []",
        "its hook register_schedulers(hosts) asks for 'hosts', and the host gives (host); take some of these, by these names",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    raise KeyError('x')",
        "register_schedulers raised KeyError: 'x'",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    return scheduler('x')",
        "register_schedulers must return SchedulerSpecs, not SchedulerSpec",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    return 'x'",
        "register_schedulers must return SchedulerSpecs, not str",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    return [3]",
        "register_schedulers must return SchedulerSpecs, and one is int",
    ),
    (
        "@hookimpl\ndef register_vaes(host):\n    return [scheduler('x')]",
        "register_vaes must return VaeSpecs, and one is SchedulerSpec",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    return [scheduler(' ')]",
        "register_schedulers offers the name ' ', aliases (): names are strings",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    return [SchedulerSpec(name='x', aliases='yz', build=build)]",
        "register_schedulers offers the name 'x', aliases 'yz': names are strings",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    return [scheduler('x'), scheduler('x')]",
        "it offers the scheduler 'x' twice; give one of them another name",
    ),
    (
        "@hookimpl\ndef register_schedulers(host):\n    yield scheduler('x')\n    raise OSError('half way')",
        "register_schedulers raised OSError: half way",
    ),
]


@pytest.mark.parametrize(("source", "why"), BROKEN)
def test_a_broken_plugin_is_a_row_and_the_others_go_on(
    bench: Bench, source: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.plug("bad", source)
    bench.plug("good", GOOD.format("good"))
    board = bench.open()
    bad, good = board.rows()
    assert bad.status == "broken"
    assert str(bad.reason).startswith(why)
    assert "\n" not in str(bad.reason)
    assert bad.offers == {}
    assert good.status == "on"
    assert board.registry("schedulers").names() == ("good-one", "good-two")
    assert f"the plugin 'bad' (file {bench.folder / 'bad.py'}) is broken: {why}" in caplog.text
    with pytest.raises(PluginError, match="requires the plugin 'bad', which is broken: "):
        bench.open(require=("bad",))


def test_offers_made_before_the_fault_are_withdrawn(bench: Bench) -> None:
    bench.plug("bad", GOOD.format("bad") + "@hookimpl\ndef register_vaes(host):\n    return 1 / 0\n")
    board = bench.open()
    assert board.rows()[0].reason == "register_vaes raised ZeroDivisionError: division by zero"
    assert board.registry("schedulers").names() == ()


def test_an_object_that_cannot_be_hashed_is_broken(bench: Bench, tmp_path: Path) -> None:
    source = "@dataclass\nclass P:\n    @hookimpl\n    def register_vaes(self):\n        return []\n"
    (tmp_path / "hashless_module.py").write_text(HEAD + source)
    folder = tmp_path / "hashless-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: hashless\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[stretto]\nhashless = hashless_module:P\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        view: Any = SimpleNamespace(version="9.9")
        board = Board.open(Switches(), view, built_ins=())
    row = next(row for row in board.rows() if row.name == "hashless")
    assert (row.status, row.reason) == (
        "broken",
        "it is an object that cannot be hashed; give its class eq=False or a __hash__",
    )


def test_two_plugins_with_one_offer_stop_the_start(bench: Bench) -> None:
    source = "@hookimpl\ndef register_schedulers(host):\n    return [scheduler('same')]\n"
    bench.plug("first", source)
    bench.plug("second", source)
    with pytest.raises(PluginClashError) as caught:
        bench.open()
    files = [f"'{path.stem}' (file {path})" for path in bench.paths]
    assert str(caught.value) == (
        f"the plugins {files[0]} and {files[1]} both offer the scheduler 'same'; turn one of them off: write one of "
        'these into plugins.toml:\n\n  [host]\n  disable = ["first"]\n\nor\n\n  [host]\n  disable = ["second"]\n\n(`stretto plugins '
        "disable first` or `stretto plugins disable second` does the same)"
    )
    board = bench.open(disable=("first",))
    assert board.registry("schedulers").owner("same") == "second"
    assert board.rows()[0].reason == "disabled by [host] disable in plugins.toml"


@pytest.mark.parametrize("key", ["disable", "order", "require"])
def test_a_name_in_plugins_toml_must_be_a_plugins(bench: Bench, key: str) -> None:
    bench.plug("superres", GOOD.format("s"))
    with pytest.raises(ConfigurationError) as caught:
        bench.open(**{key: ("supres",)})
    assert str(caught.value) == (
        f"plugins.toml: [host] {key} names 'supres', and there is no such plugin; did you mean 'superres'?"
    )


def test_a_required_plugin_must_not_be_off(bench: Bench) -> None:
    bench.plug("a", GOOD.format("a"))
    with pytest.raises(PluginError, match="requires the plugin 'a', which is off: disabled by"):
        bench.open(disable=("a",), require=("a",))


# settings

SETTINGS = """
@dataclass(frozen=True)
class Settings:
    tile: int = 512
@hookimpl
def register_schedulers(host):
    return [scheduler(f"tile-{host.plugin_settings('mine', Settings).tile}")]
"""


def test_a_plugin_reads_its_own_table(bench: Bench) -> None:
    bench.plug("mine", SETTINGS)
    assert bench.open().registry("schedulers").names() == ("tile-512",)
    assert bench.open(tables={"mine": {"tile": 64}}).registry("schedulers").names() == ("tile-64",)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"mien": {}}, "plugins.toml: [plugins.mien] is for no plugin; did you mean 'mine'?"),
        ({"mine": {"tyle": 1}}, "plugins.toml: [plugins.mine] has no key 'tyle'; did you mean 'tile'?"),
        ({"mine": {"tile": "x"}}, "plugins.toml: [plugins.mine] tile must be a whole number, not 'x'"),
        (
            {"bare": {"tile": 1}},
            "plugins.toml: [plugins.bare] is set, and the plugin 'bare' takes no settings",
        ),
    ],
)
def test_a_wrong_table_stops_the_start(bench: Bench, tables: dict[str, Any], message: str) -> None:
    bench.plug("mine", SETTINGS)
    bench.plug("bare", GOOD.format("bare"))
    with pytest.raises(ConfigurationError) as caught:
        bench.open(tables=tables)
    assert str(caught.value) == message


def test_the_table_of_a_plugin_that_is_off_is_not_read(bench: Bench) -> None:
    bench.plug("mine", SETTINGS)
    assert bench.open(tables={"mine": {"tyle": 1}}, disable=("mine",)).rows()[0].status == "off"


def test_what_a_plugin_declares_is_found_by_its_name(bench: Bench) -> None:
    bench.plug("mine", SETTINGS + "@dataclass(frozen=True)\nclass Parameters:\n    amount: int = 1\n")
    bench.plug("bare", GOOD.format("bare"))
    board = bench.open()
    assert board.named("mine") is module("mine")
    assert board.settings("mine") is module("mine").Settings
    assert board.parameters("mine") is module("mine").Parameters
    assert (board.settings("bare"), board.parameters("bare")) == (None, None)
    with pytest.raises(NotFoundError, match="no plugin 'mien' is on; did you mean 'mine'"):
        board.parameters("mien")


# who is asked

ANSWER = "@hookimpl\ndef build_plan(request):\n    return '{0}' if request in ('any', '{0}') else None\n"


class Core:
    """The host's own answer."""

    @hookimpl(trylast=True)
    def build_plan(self, request: object) -> str:
        return f"core:{request}"

    @hookimpl(trylast=True)
    def run_step(self, step: object) -> object:
        raise ValueError(f"core cannot {step}")


def test_the_order_says_who_is_asked_first(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.plug(name, ANSWER.format(name) + GOOD.format(name))
    board = bench.open((Core(),))
    assert board.first("build_plan", request="any", host=None) == "a"
    assert board.first("build_plan", request="c", host=None) == "c"
    assert board.first("build_plan", request="none", host=None) == "core:none"
    board = bench.open((Core(),), order=("c", "b"))
    assert board.first("build_plan", request="any", host=None) == "c"
    assert board.registry("schedulers").names() == ("c-one", "c-two", "b-one", "b-two", "a-one", "a-two")
    assert [row.name for row in board.rows()] == ["a", "b", "c"]


def test_a_wrapper_changes_the_hosts_answer(bench: Bench) -> None:
    source = "@hookimpl(wrapper=True)\ndef build_plan(request):\n    plan = yield\n    return plan + '!'\n"
    bench.plug("wrap", source)
    assert bench.open((Core(),)).first("build_plan", request="x", host=None) == "core:x!"


def test_what_a_plugin_raises_is_attributed_to_it(bench: Bench) -> None:
    bench.plug("bad", "@hookimpl\ndef build_plan(request):\n    return int('x')\n")
    with pytest.raises(PluginError) as caught:
        bench.open((Core(),)).first("build_plan", request="x", host=None)
    assert str(caught.value) == (
        "the plugin 'bad' raised in build_plan: ValueError: invalid literal for int() with base 10: 'x'"
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_our_own_errors_pass_as_they_are(bench: Bench) -> None:
    bench.plug(
        "strict",
        "from stretto.host.errors import NotFoundError\n@hookimpl\ndef build_plan():\n    raise NotFoundError('no')\n",
    )
    with pytest.raises(NotFoundError, match=r"^no$"):
        bench.open((Core(),)).first("build_plan", request="x", host=None)


def test_the_hosts_own_fault_is_no_plugins(bench: Bench) -> None:
    bench.plug("good", GOOD.format("good"))
    with pytest.raises(ValueError, match="core cannot x"):
        bench.open((Core(),)).first("run_step", step="x", frame=None, bench=None)


def test_a_wrapper_is_not_blamed_for_what_the_host_raises(bench: Bench) -> None:
    source = "@hookimpl\ndef build_plan(request):\n    return None\n@hookimpl(wrapper=True)\ndef run_step(step):\n    return (yield)\n"
    bench.plug("wrap", source)
    core: dict[str, Any] = {"__name__": "stretto.host.steps.sample", "hookimpl": hookimpl}
    exec(  # noqa: S102 - a core that lives where the host's own do
        "class Core:\n    @hookimpl(trylast=True)\n    def run_step(self, step):\n        return 1 / step\n",
        core,
    )
    with pytest.raises(ZeroDivisionError):
        bench.open((core["Core"](),)).first("run_step", step=0, frame=None, bench=None)


# who is told

HEARS = """
@hookimpl
def host_started(host):
    heard.append("started")
@hookimpl
def observe(event):
    heard.append(event.job)
@hookimpl
def host_stopping(host):
    heard.append("stopping")
"""


def test_each_plugin_hears_whatever_another_raises(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.plug("deaf", HEARS.replace("heard.append(event.job)", "raise OSError('deaf')"))
    bench.plug("good", HEARS)
    board = bench.open()
    board.start()
    with caplog.at_level(logging.ERROR):
        board.observe(Started(job="j1"))
    board.close()
    board.close()
    assert module("good").heard == ["started", "j1", "stopping"]
    assert module("deaf").heard == ["started", "stopping"]
    assert [record.getMessage() for record in caplog.records] == ["the plugin 'deaf' raised in observe"]


def test_a_plugin_that_fails_to_start_is_broken(bench: Bench) -> None:
    bench.plug("bad", GOOD.format("bad") + "@hookimpl\ndef host_started(host):\n    raise OSError('no')\n")
    board = bench.open()
    board.start()
    assert board.rows()[0].reason == "host_started raised OSError: no"
    assert board.registry("schedulers").names() == ()
    with pytest.raises(PluginError, match="requires the plugin 'bad'"):
        bench.open(require=("bad",)).start()


def test_a_board_that_never_started_stops_quietly(bench: Bench) -> None:
    bench.plug("good", HEARS)
    bench.open().close()
    assert module("good").heard == []
