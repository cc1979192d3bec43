from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from stretto.host.errors import ConfigurationError, PluginError
from stretto.host.plugboard.board import Board, PluginRow
from stretto.host.plugboard.switches import Switches
from stretto.host.settings import Folders, Settings

from .conftest import Wheel, isolation

NOTHING = "from stretto.host import hookimpl\n\n\n@hookimpl\ndef observe(event):\n    pass\n"


class View:
    """All that a board asks of its host here."""

    version = "0.1.0"
    settings = Settings()

    def __init__(self, root: Path) -> None:
        self.folders = Folders(root)


def _rows(root: Path, tables: dict[str, dict[str, Any]]) -> dict[str, PluginRow]:
    apart = isolation(root, tables)
    switches = Switches(tables={name: {"isolated": True, **table} for name, table in tables.items()})
    view: Any = View(root)
    board = Board.open(switches, view, built_ins=(), more=apart.candidates())
    try:
        return {row.name: row for row in board.rows()}
    finally:
        board.close()
        apart.close()


Install = Callable[..., Path]


@pytest.fixture
def installed(tmp_path: Path, wheel: Wheel) -> Install:
    def install(code: str, *, name: str = "mine", **table: Any) -> Path:
        isolation(tmp_path, {name: table}).install(str(wheel(name, code)), ["--no-index"])
        return tmp_path

    return install


def test_its_row_says_what_it_offers_and_where_it_is(rough_root: Path) -> None:
    row = _rows(rough_root, {"rough": {}})["rough"]
    assert (row.status, row.version, row.origin, row.reason) == ("on", "1.2", "isolated stretto-rough", None)
    assert {"same", "killed", "tiles", "absent"} < set(row.offers["upscalers"])
    assert row.offers["preprocessors"] == ("inverting", "weighing")
    assert row.offers["background_removers"] == ("cutting",)


def test_listing_starts_no_process_once_it_is_described(
    rough_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rows(rough_root, {"rough": {"darkness": 0.125}})  # another table is another description

    def started(*_arguments: Any, **_named: Any) -> None:
        pytest.fail("a process was started")

    monkeypatch.setattr("subprocess.Popen", started)
    assert _rows(rough_root, {"rough": {"darkness": 0.125}})["rough"].status == "on"


def test_a_wrong_table_is_a_row_that_says_so(rough_root: Path) -> None:
    row = _rows(rough_root, {"rough": {"darknes": 0.5}})["rough"]
    assert row.status == "broken"
    assert row.reason is not None
    assert row.reason.endswith("plugins.toml: [plugins.rough] has no key 'darknes'; did you mean 'darkness'?")


def test_one_that_plugins_toml_names_is_on_without_autoload(rough_root: Path) -> None:
    apart = isolation(rough_root, {"rough": {}})
    tables = {"rough": {"isolated": True}}
    view: Any = View(rough_root)
    board = Board.open(Switches(autoload=False, tables=tables), view, built_ins=(), more=apart.candidates())
    assert {row.name: row.status for row in board.rows()}["rough"] == "on"
    board.close()
    apart.close()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"time_limit_s": 0}, "plugins.toml: [plugins.rough] time_limit_s must be above 0"),
        ({"time_limit_s": float("nan")}, "[plugins.rough] time_limit_s must be a number, not nan"),
        ({"time_limit_s": float("inf")}, "[plugins.rough] time_limit_s must be below inf, not inf"),
        ({"memory_limit_bytes": 5}, "[plugins.rough] memory_limit_bytes must be at least 67108864, not 5"),
        ({"isolated": 1}, "plugins.toml: [plugins.rough] isolated must be true or false, not 1"),
    ],
)
def test_wrong_limits_are_refused(rough_root: Path, table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _rows(rough_root, {"rough": table})
    assert message in str(caught.value)


def test_a_date_in_its_table_is_refused_by_its_key(rough_root: Path) -> None:
    row = _rows(rough_root, {"rough": {"words": [date(2020, 1, 2)]}})["rough"]
    assert row.status == "broken"
    assert row.reason is not None
    assert "[plugins.rough] words[0] cannot be the date or time 2020-01-02; put it in quotes" in row.reason


def test_a_built_in_plugin_cannot_be_isolated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[plugins\.vaes\] isolated: 'vaes' comes with the host"):
        isolation(tmp_path, {"vaes": {}}).candidates()


def test_one_without_an_environment_says_how_to_make_it(tmp_path: Path) -> None:
    row = _rows(tmp_path, {"mine": {}})["mine"]
    assert row.status == "broken"
    assert row.reason is not None
    assert row.reason.endswith(
        "plugins.toml: [plugins.mine] has it isolated, and it has no environment of its own; make one: "
        "stretto plugins install mine --isolated"
    )


def test_an_environment_without_its_line_is_not_on(rough_root: Path) -> None:
    row = _rows(rough_root, {})["rough"]
    assert row.status == "off"
    assert row.reason is not None
    assert "put `isolated = true` into [plugins.rough] of plugins.toml" in row.reason


def test_what_cannot_be_isolated_is_refused_with_what_would_do(installed: Install, tmp_path: Path) -> None:
    code = NOTHING + "\n\n@hookimpl\ndef register_schedulers():\n    return []\n"
    with pytest.raises(PluginError) as caught:
        installed(code)
    assert str(caught.value) == (
        "it has register_schedulers, which cannot run in a process of its own (what can: register_upscalers, "
        "register_preprocessors, register_background_removers, build_plan, observe, host_started, host_stopping); "
        "install it without --isolated"
    )
    assert list((tmp_path / "environments").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere", "raised in its start: ModuleNotFoundError: No module named 'nowhere'"),
        ("raise SystemExit(4)", "raised in its start: SystemExit: 4"),
        (
            "import os, sys\nprint('giving up', file=sys.stderr)\nos._exit(9)",
            "left with exit code 9 in its start (it printed last: giving up); the next call starts its process anew",
        ),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGABRT)",
            "was ended by SIGABRT in its start; the next call starts its process anew",
        ),
        ("x = 1", "raised in its start: it has no hooks; decorate its functions with @stretto.host.hookimpl"),
        (
            NOTHING.replace("def observe", "def observes"),
            "raised in its start: PluginValidationError: unknown hook 'observes' in plugin",
        ),
        (
            NOTHING.replace("observe(event)", "register_upscalers(host)").replace("pass", "return 5"),
            "raised in its start: register_upscalers must return UpscalerSpecs, and one is int",
        ),
    ],
    ids=["import", "exit", "exits", "abort", "hooks", "hook", "offer"],
)
def test_one_that_cannot_be_imported_is_not_kept(
    installed: Install, tmp_path: Path, code: str, message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        installed(code)
    assert str(caught.value).startswith(f"the plugin 'mine' {message}")
    assert list((tmp_path / "environments").iterdir()) == []


def test_one_that_hangs_at_import_is_not_kept(installed: Install, tmp_path: Path) -> None:
    with pytest.raises(
        PluginError, match=r"did not come to an end of its start within its time_limit_s of 0\.5 s"
    ):
        installed("import time\ntime.sleep(600)", time_limit_s=0.5)
    assert list((tmp_path / "environments").iterdir()) == []


def test_an_object_and_a_class_are_plugins_too(tmp_path: Path, wheel: Wheel) -> None:
    code = (
        "from stretto.host import UpscalerSpec, hookimpl\n\n\nclass Mine:\n    @hookimpl\n"
        "    def register_upscalers(self):\n        return [UpscalerSpec(name='mine', build=lambda device: None)]\n"
    )
    entry = "[stretto]\nmine = mine:Mine\n"
    isolation(tmp_path, {"mine": {}}).install(str(wheel("mine", code, entry=entry)), ["--no-index"])
    assert _rows(tmp_path, {"mine": {}})["mine"].offers == {"upscalers": ("mine",)}


def test_two_packages_with_one_plugin_name_are_refused(installed: Install, wheel: Wheel) -> None:
    root = installed(NOTHING)
    other = wheel("other", NOTHING, entry="[stretto]\nmine = other\n")
    with pytest.raises(
        PluginError, match=r"has the plugin 'mine', and so has stretto-mine; remove that first"
    ):
        isolation(root).install(str(other), ["--no-index"])
    assert len(list((root / "environments").iterdir())) == 1


def test_one_made_for_another_python_is_made_anew(rough_root: Path, tmp_path: Path) -> None:
    shutil.copytree(rough_root / "environments", tmp_path / "environments", symlinks=True)
    (record,) = (tmp_path / "environments").glob("*/environment.json")
    said = json.loads(record.read_text())
    record.write_text(json.dumps({**said, "python": "cpython-39"}))
    reason = _rows(tmp_path, {"rough": {}})["rough"].reason
    assert reason is not None
    assert "its environment was made for cpython-39, and the host runs on cpython-3" in reason


def test_removing_takes_plugin_and_environment(installed: Install) -> None:
    root = installed(NOTHING)
    assert isolation(root).remove("mine").plugins == {"mine": "mine"}
    assert "no environment" in str(_rows(root, {"mine": {}})["mine"].reason)


def test_a_process_that_lost_its_environment_says_so(installed: Install) -> None:
    root = installed(NOTHING)
    apart = isolation(root, {"mine": {}})
    (environment,) = apart.environments()
    plugin = apart.load(environment, "mine")
    apart.remove("mine")
    with pytest.raises(
        PluginError, match=r"^the environment of the plugin 'mine' is gone .*install mine --isolated$"
    ):
        plugin.remote.call("observe", event={})
    apart.close()
