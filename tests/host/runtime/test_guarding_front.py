"""Plugins that fail in the process that takes requests."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from stretto.host.contracts.costs import Measured, Spent
from stretto.host.contracts.events import Failed, Started
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import PluginError, StrettoError
from stretto.host.plugboard.guard import OFF_NAME, read_off, switch_off
from stretto.host.plugboard.totals import read_totals
from stretto.host.runtime import guarding
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

PLANS = """
from stretto.host import Failed, hookimpl
from stretto.host import errors


@hookimpl
def build_plan(request):
    if request.prompt in vars(errors):
        raise getattr(errors, request.prompt)("not this one")
    if request.prompt == "bad":
        raise OSError("no such plan")


@hookimpl
def observe(event):
    if isinstance(event, Failed):
        raise RuntimeError("unwell")


@hookimpl
def host_stopping(host):
    (host.folders.root / "stopped").touch()
"""
REASON = "switched off after {} failures in a row (the last: {}); `stretto plugins enable plans` switches it on again"


@pytest.fixture
def host(tmp_path: Path, store_of: Any) -> Any:
    """Give a function that starts a host with that plugin."""
    opened = []

    def open_(**keys: Any) -> Host:
        (tmp_path / "plans.py").write_text(PLANS)
        table = {"autoload": "false", "paths": '["plans.py"]', "max_failures": 3} | keys
        lines = "\n".join(f"{key} = {value}" for key, value in table.items())
        (tmp_path / "plugins.toml").write_text(f"[host]\n{lines}\n")
        file = tmp_path / "plugins.toml"
        opened.append(Host.open(Folders(tmp_path / "data"), Settings(), plugins_file=file, store=store_of()))
        opened[-1].start()
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def row_of(host: Host) -> Any:
    return next(row for row in host.plugins() if row.name == "plans")


def fail(host: Host, times: int, prompt: str = "bad") -> None:
    for _ in range(times):
        with pytest.raises(
            PluginError, match="the plugin 'plans' raised in build_plan: OSError: no such plan"
        ):
            host.plan(InvocationRequest(prompt=prompt))


def test_requests_that_fail_in_a_row_switch_a_plugin_off(host: Any) -> None:
    opened = host()
    fail(opened, 2)
    opened.plan(InvocationRequest(prompt="good"))
    fail(opened, 2)
    assert row_of(opened).status == "on"
    fail(opened, 1)
    why = REASON.format(3, "build_plan raised OSError: no such plan")
    assert (row_of(opened).status, row_of(opened).reason) == ("off", why)
    assert (opened.folders.root / "stopped").exists()  # it was told
    opened.plan(InvocationRequest(prompt="bad"))  # without it
    opened.close()
    again = host()
    assert (row_of(again).status, row_of(again).reason) == ("off", why)


def test_an_observer_that_fails_in_a_row_is_switched_off(host: Any) -> None:
    opened = host()
    for i in range(3):
        opened._record(Failed(job=f"j{i}"))
    deadline = time.monotonic() + 10
    while row_of(opened).status == "on" and time.monotonic() < deadline:  # who observes may be told later
        time.sleep(0.01)
    assert row_of(opened).reason == REASON.format(3, "observe raised RuntimeError: unwell")


def test_one_that_fails_is_off_though_that_cannot_be_kept_yet(
    host: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = host()
    why = REASON.format(3, "build_plan raised OSError: no such plan")
    monkeypatch.setattr(guarding, "_PATIENCE_S", 0.05)
    with FileLock(opened.folders.root / f".{OFF_NAME}.lock"), caplog.at_level(logging.ERROR):
        fail(opened, 3)
    assert "that the plugin 'plans' is switched off cannot be kept, and is tried again" in caplog.text
    assert (row_of(opened).status, row_of(opened).reason) == ("off", why)
    assert read_off(opened.folders.root) == {}
    opened.close()
    assert read_off(opened.folders.root) == {"plans": why}


def test_one_that_fails_is_off_where_the_file_of_them_is_none(host: Any) -> None:
    opened = host()
    (opened.folders.root / OFF_NAME).write_text("{")
    fail(opened, 3)
    assert opened.guarding.switched_off == ("plans",)
    assert (opened.folders.root / OFF_NAME).read_text() == "{"


def test_jobs_count_one_each_and_a_good_one_ends_the_row(host: Any) -> None:
    opened = host(max_failures=2)

    def job(name: str, failures: int) -> None:
        spent = Spent(plugin="plans", hook="run_step", calls=3, seconds=0.1, failures=failures, last="no")
        opened._record(Measured(job=name, plugins=(spent,)))

    for name, failures in (("a", 3), ("b", 0), ("c", 1)):
        job(name, failures)
    assert row_of(opened).status == "on"
    job("d", 1)
    assert row_of(opened).reason == REASON.format(2, "no")


@pytest.mark.parametrize(
    ("title", "failures"), [("BadRequestError", 0), ("NotFoundError", 0), ("WeightsError", 100)]
)
def test_a_request_that_is_refused_100_times_switches_nobody_off(
    host: Any, title: str, failures: int
) -> None:
    opened = host()
    for _ in range(100):
        with pytest.raises(StrettoError, match="not this one") as caught:
            opened.plan(InvocationRequest(prompt=title))
        assert type(caught.value).__name__ == title
        assert ("the plugin 'plans' raised in build_plan: " in str(caught.value)) == bool(failures)
    assert row_of(opened).status == "on"
    (row,) = (one for one in opened.board.ledger.take() if one.hook == "build_plan")
    assert (row.calls, row.failures) == (100, failures)


def test_one_that_fails_with_errors_of_our_tree_is_named_and_switched_off(host: Any) -> None:
    opened = host()
    for prompt in ("EngineError", "BadRequestError", "EngineError", "EngineError"):  # a refusal ends no row
        with pytest.raises(StrettoError, match="not this one") as caught:
            opened.plan(InvocationRequest(prompt=prompt))
    assert str(caught.value) == "the plugin 'plans' raised in build_plan: EngineError: not this one"
    why = REASON.format(3, "build_plan raised EngineError: not this one")
    assert (row_of(opened).status, row_of(opened).reason) == ("off", why)


def test_with_0_none_is_switched_off(host: Any) -> None:
    opened = host(max_failures=0)
    fail(opened, 9)
    assert row_of(opened).status == "on"


def test_one_that_is_required_is_reported_and_stays(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    opened = host(require='["plans"]')
    with caplog.at_level(logging.ERROR):
        fail(opened, 3)
    said = "the plugin 'plans' failed 3 times in a row (the last: build_plan raised OSError: no such plan); "
    assert f"{said}it stays on, as it is required" in caplog.messages
    assert row_of(opened).status == "on"
    assert read_off(opened.folders.root) == {}
    opened.close()
    switch_off(opened.folders.root, "plans", 3, "before it was required")
    with caplog.at_level(logging.WARNING):
        assert row_of(host(require='["plans"]')).status == "on"
    assert any("it is on, as it is required" in message for message in caplog.messages)


def test_what_plugins_cost_is_kept_from_host_to_host(host: Any) -> None:
    for calls in (1, 2):
        opened = host()
        opened._record(Started(job="a"))
        spent = Spent(plugin="plans", hook="run_step", calls=5, seconds=0.5, overruns=1)
        opened._record(Measured(job="a", plugins=(spent,)))
        opened.close()
        rows = {one.hook: one for one in read_totals(opened.folders.root, "plans")}
        assert (rows["run_step"].calls, rows["run_step"].overruns) == (5 * calls, calls)
        assert rows["observe"].calls == 2 * calls
        assert rows["host_stopping"].calls == calls
    assert not any(one.plugin == "nobody" for one in read_totals(opened.folders.root))


def test_a_host_that_only_lists_plugins_writes_nothing(tmp_path: Path) -> None:
    with Host.open(Folders(tmp_path), Settings()) as opened:
        opened.plugins()
    assert read_totals(tmp_path) == ()
