"""Plugins that are switched while a host runs."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stretto.host import Started
from stretto.host.errors import ConfigurationError, PluginClashError, PluginError
from stretto.host.plugboard.alterations import Alteration
from stretto.host.plugboard.guard import switch_off
from stretto.host.runtime.host import Host
from stretto.host.runtime.reloading import ring
from stretto.host.settings import Folders, Settings

TOLD = """
from dataclasses import dataclass
from stretto.host import Finished, SchedulerSpec, hookimpl
told = []
@dataclass(frozen=True)
class Settings:
    word: str = "one"
@hookimpl
def register_schedulers(host):
    word = host.plugin_settings("{name}", Settings).word
    return [SchedulerSpec(name=f"{name}-{{word}}", build=lambda config: config)]
@hookimpl
def host_started(host):
    told.append(("started", sorted(name for name in host.offers("schedulers") if name.startswith("{name}"))))
@hookimpl
def host_stopping(host):
    told.append("stopping")
@hookimpl
def observe(event):
    told.append(type(event).__name__)
"""


def told(name: str) -> list[Any]:
    said: list[Any] = sys.modules[f"stretto_plugin_{name}"].told
    return said


class Place:
    """A data directory whose plugins are files, and its plugins.toml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders = Folders(root / "data")
        self.file = root / "plugins.toml"

    def plug(self, name: str, source: str = TOLD) -> None:
        (self.root / f"{name}.py").write_text(
            source.replace("{name}", name).replace("{{", "{").replace("}}", "}")
        )

    def write(self, *lines: str, paths: tuple[str, ...] = ("ann", "bob")) -> None:
        names = ", ".join(f'"{name}.py"' for name in paths)
        text = "\n".join(["[host]", "autoload = false", f"paths = [{names}]", *lines, ""])
        before = self.file.stat().st_mtime_ns if self.file.exists() else 0
        self.file.write_text(text)
        os.utime(self.file, ns=(before + 10**9, before + 10**9))  # file systems have coarse clocks


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.plug("ann")
    made.plug("bob")
    made.write()
    return made


@pytest.fixture
def host(place: Place, memory_store: Any) -> Iterator[Host]:
    with Host.open(place.folders, Settings(), plugins_file=place.file, store=memory_store) as opened:
        opened.start()
        yield opened
    for name in ("ann", "bob", "carol"):
        sys.modules.pop(f"stretto_plugin_{name}", None)


def statuses(host: Host) -> dict[str, str]:
    return {row.name: row.status for row in host.plugins() if row.origin.startswith("file ")}


def test_a_change_is_in_force_and_in_the_file_at_once(place: Place, host: Host) -> None:
    ann, bob = told("ann"), told("bob")
    host.reloading.change(Alteration(disable=["ann"]))
    assert statuses(host) == {"ann": "off", "bob": "on"}
    assert "ann-one" not in host.offers("schedulers")
    assert 'disable = ["ann"]' in place.file.read_text()
    assert ann == [("started", ["ann-one"]), "stopping"]
    assert bob == [("started", ["bob-one"])]  # nothing has happened to it
    host.reloading.change(Alteration(enable=["ann"]))
    assert statuses(host) == {"ann": "on", "bob": "on"}
    assert "ann-one" in host.offers("schedulers")
    assert told("bob") is bob


def test_other_settings_begin_their_plugin_anew(place: Place, host: Host) -> None:
    host.reloading.change(Alteration(settings={"ann": {"word": "two"}}))
    assert "ann-two" in host.offers("schedulers")
    assert "ann-one" not in host.offers("schedulers")
    assert told("ann") == [("started", ["ann-one"]), ("started", ["ann-two"]), "stopping"]
    assert told("bob") == [("started", ["bob-one"])]
    assert '[plugins.ann]\nword = "two"' in place.file.read_text()


def test_a_clash_leaves_file_and_plugins_as_they_were(place: Place, host: Host) -> None:
    place.plug("carol", TOLD.replace("{name}", "bob"))
    place.write('disable = ["carol"]', paths=("ann", "bob", "carol"))
    assert statuses(host) == {"ann": "on", "bob": "on", "carol": "off"}
    before = place.file.read_text()
    with pytest.raises(PluginClashError, match=r"both offer the scheduler 'bob-one'"):
        host.reloading.change(Alteration(enable=["carol"]))
    assert place.file.read_text() == before
    assert statuses(host) == {"ann": "on", "bob": "on", "carol": "off"}
    assert host.board.registry("schedulers").owner("bob-one") == "bob"


def test_what_changes_meanwhile_is_taken_up_with_the_next_look(place: Place, host: Host) -> None:
    def others(_board: object) -> None:
        switch_off(place.folders.root, "bob", 5, "observe raised OSError: no")

    host.reloading.change(Alteration(disable=["ann"]), others)
    assert statuses(host) == {"ann": "off", "bob": "off"}  # which looks
    board = host.board
    host.look()
    assert host.board is board  # there was nothing else


def test_what_is_made_of_the_file_is_made_of_what_it_says_at_last(place: Place, host: Host) -> None:
    place.write('order = ["bob"]')  # which the host has not looked at yet
    host.reloading.change(lambda then: Alteration(order=[*then.order, "ann"]))
    assert 'order = ["bob", "ann"]' in place.file.read_text()
    assert host.fittings.switches.order == ("bob", "ann")


def test_who_looks_may_refuse_the_board(place: Place, host: Host) -> None:
    def refuse(_board: object) -> None:
        raise PluginError("not like this")

    board, before = host.board, place.file.read_text()
    with pytest.raises(PluginError, match="not like this"):
        host.reloading.change(Alteration(disable=["ann"]), refuse)
    assert (host.board, place.file.read_text()) == (board, before)
    assert told("ann") == [("started", ["ann-one"])]


def test_a_plugin_that_fails_to_start_does_not_take_over(place: Place, host: Host) -> None:
    place.plug("carol", TOLD.replace('told.append(("started"', 'raise OSError("no")\n    (("started"'))
    place.write("", paths=("ann", "bob", "carol"))
    rows = {row.name: row for row in host.plugins()}
    assert (rows["carol"].status, rows["carol"].reason) == ("broken", "host_started raised OSError: no")
    assert statuses(host) == {"ann": "on", "bob": "on", "carol": "broken"}


def test_a_file_that_somebody_else_changed_is_taken_up_with_the_next_look(place: Place, host: Host) -> None:
    board = host.board
    host.plugins()
    assert host.board is board  # nothing has changed
    place.write('disable = ["bob"]')
    assert statuses(host) == {"ann": "on", "bob": "off"}
    place.plug("ann", TOLD.replace('"one"', '"three"'))
    ring(place.folders.root)
    assert statuses(host) == {"ann": "on", "bob": "off"}
    assert "ann-three" in host.offers("schedulers")


def test_a_file_that_is_wrong_is_logged_once_and_the_plugins_stay(
    place: Place, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    place.write("disabel = []")
    for _ in range(3):
        assert statuses(host) == {"ann": "on", "bob": "on"}
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    why = f"{place.file}: [host] has no key 'disabel'; did you mean 'disable'?"
    assert said == [f"the plugins were changed, and stay as they are, for {why}"]
    with pytest.raises(ConfigurationError, match="disabel"):
        host.reloading.change(Alteration(disable=["ann"]))
    place.file.unlink()
    assert statuses(host) == {"ann": "on", "bob": "on"}
    place.write('disable = ["ann"]')
    assert statuses(host) == {"ann": "off", "bob": "on"}


def test_requests_meanwhile_see_the_old_plugins_or_the_new(place: Place, host: Host) -> None:
    seen: set[frozenset[str]] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.add(
                frozenset(
                    name for name in host.offers("schedulers") if "-" in name and name[:3] in ("ann", "bob")
                )
            )

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(3):
        host.reloading.change(Alteration(disable=["ann"]))
        host.reloading.change(Alteration(enable=["ann"]))
    ended.set()
    thread.join()
    assert seen <= {frozenset({"ann-one", "bob-one"}), frozenset({"bob-one"})}


def test_events_are_heard_by_those_that_are_on(place: Place, host: Host) -> None:
    host.reloading.change(Alteration(disable=["ann"]))
    ann = told("ann")
    host.publish(Started(job="j"))
    host.close()  # which waits until all is heard
    assert ann[-1] == "stopping"
    assert told("bob")[-2:] == ["Started", "stopping"]


def test_plugins_that_go_wait_for_requests_that_are_being_planned(host: Host) -> None:
    ended: list[str] = []
    old = host.fittings
    old.apart.callback(lambda: ended.append("isolated plugins"))
    with old.used():
        changing = threading.Thread(target=host.reloading.change, args=(Alteration(disable=["ann"]),))
        changing.start()
        while host.fittings is old:
            time.sleep(0.01)
        changing.join(0.2)
        assert (changing.is_alive(), ended) == (True, [])
    changing.join()
    assert ended == ["isolated plugins"]


def test_others_look_plan_and_change_while_plugins_that_go_are_waited_for(place: Place, host: Host) -> None:
    first, ended = host.fittings, []
    first.apart.callback(lambda: ended.append("first"))
    with first.used():
        changing = threading.Thread(target=host.reloading.change, args=(Alteration(disable=["ann"]),))
        changing.start()
        while host.fittings is first:
            time.sleep(0.01)
        begun = time.monotonic()
        assert statuses(host) == {"ann": "off", "bob": "on"}
        host.reloading.change(Alteration(disable=["bob"]))
        place.write('disable = ["bob"]')
        assert statuses(host) == {"ann": "on", "bob": "off"}  # who looks waits for nobody
        assert time.monotonic() - begun < 5
        assert (changing.is_alive(), ended) == (True, [])
    changing.join()
    assert ended == ["first"]
    assert 'disable = ["bob"]' in place.file.read_text()


def test_what_goes_when_somebody_looks_is_ended_before_the_host(place: Place, host: Host) -> None:
    first, ended, freed = host.fittings, [], threading.Event()
    first.apart.callback(lambda: ended.append("first"))

    def plan() -> None:
        with first.used():
            freed.wait(10)

    planning = threading.Thread(target=plan)
    planning.start()
    place.write('disable = ["ann"]')
    assert statuses(host) == {"ann": "off", "bob": "on"}
    assert ended == []
    freed.set()
    host.close()
    assert ended == ["first"]
    planning.join()


def test_a_change_that_is_refused_leaves_no_module_and_what_is_mended_is_read_anew(
    place: Place, host: Host
) -> None:
    place.plug("carol", TOLD.replace("{name}", "bob"))
    place.write('disable = ["carol"]', paths=("ann", "bob", "carol"))
    host.look()
    place.plug("ann", TOLD.replace('"one"', '"two"'))  # to be had with the next change that is not refused
    before = dict(sys.modules)
    with pytest.raises(PluginClashError):
        host.reloading.change(Alteration(enable=["carol"]))
    assert {name: module for name, module in sys.modules.items() if before.get(name) is not module} == {}
    assert before.keys() == sys.modules.keys()
    place.plug("carol", TOLD)
    host.reloading.change(Alteration(enable=["carol"]))
    assert {"ann-two", "carol-one"} <= host.offers("schedulers").keys()


def test_limits_are_as_they_were_after_a_change_that_was_refused(place: Place, host: Host) -> None:
    place.plug("carol", TOLD.replace("{name}", "bob"))
    limits = host.guarding.calls.watch.limits
    place.write("hook_limit_s = 1.5", paths=("ann", "bob", "carol"))
    host.plugins()
    assert host.guarding.calls.watch.limits == limits
    place.write("hook_limit_s = 1.5")
    host.plugins()
    assert host.guarding.calls.watch.limits.hook_s == 1.5
