"""Plugins that fail, in a real worker that draws with the starter model."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from stretto.host.contracts.costs import Measured
from stretto.host.contracts.ports import JobStatus
from stretto.host.contracts.request import InvocationRequest
from stretto.host.plugboard.guard import OFF_NAME, enable, read_off
from stretto.host.plugboard.totals import read_totals
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

IN_A_ROW = 12  # more than other tests here make fail
WILD = """
import os
import time

from stretto.host import Frame, Save, SchedulerSpec, UpscalerSpec, hookimpl


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def deeper(n):
    return deeper(n + 1)


def exits():
    raise SystemExit(7)


def interrupts():
    raise KeyboardInterrupt


def mute():
    raise Mute


def raises():
    raise ValueError("no such luck")


def dies():
    os._exit(9)


def lasts():
    time.sleep(0.8)


def answers():
    return "a picture"


ACTS = {act.__name__: act for act in (exits, interrupts, mute, raises, dies, lasts, answers)}
ACTS["deep"] = lambda: deeper(0)
ACTS["swallowed"] = raises
ACTS["twice"] = ACTS["good"] = lambda: None


@hookimpl
def run_step(step, frame, bench):
    act = ACTS.get(bench.plan.prompt)
    if act is None:
        return None
    if isinstance(step, Save):
        return Frame(files=(f"{bench.job}_0.png",))
    return act() or frame


def _wild_scheduler(config):
    from diffusers import EulerDiscreteScheduler

    class Wild(EulerDiscreteScheduler):
        def step(self, *args, **kwargs):
            return 1 / 0

    return Wild.from_config(config)


def _strict_scheduler(config):
    from diffusers import EulerDiscreteScheduler

    # which diffusers refuses when the steps are laid out, with none of this file's lines in the traceback
    return EulerDiscreteScheduler.from_config({**config, "timestep_spacing": "odd"})


class Upscaler:
    def upscale(self, image, amount):
        raise KeyError("pixels")


@hookimpl
def register_schedulers():
    yield SchedulerSpec(name="wild", build=_wild_scheduler)
    yield SchedulerSpec(name="strict", build=_strict_scheduler)


@hookimpl
def register_upscalers():
    yield UpscalerSpec(name="wild-up", build=lambda device: Upscaler())
"""
AROUND = """
from stretto.host import hookimpl


@hookimpl(wrapper=True)
def run_step(bench):
    if bench.plan.prompt == "twice":
        yield
    try:
        return (yield)
    except Exception:
        if bench.plan.prompt != "swallowed":
            raise
"""
FRAIL = """
from stretto.host import hookimpl


@hookimpl
def run_step(bench):
    if bench.plan.prompt == "frail":
        raise OSError("worn out")
"""


@pytest.fixture(scope="module")
def ring(tmp_path_factory: Any, store_of: Any) -> Iterator[Any]:
    """Give a running host with those plugins, its store, and all that its worker measured."""
    folder = tmp_path_factory.mktemp("ring")
    for name, source in (("wild", WILD), ("around", AROUND), ("frail", FRAIL)):
        (folder / f"{name}.py").write_text(source)
    (folder / "plugins.toml").write_text(
        '[host]\nautoload = false\npaths = ["wild.py", "around.py", "frail.py"]\n'
        f"max_failures = {IN_A_ROW}\nstep_limit_s = 0.3\n"
    )
    store, heard = store_of(), []
    settings = Settings(max_queued_invocations=50)
    folders, file = Folders(folder / "data"), folder / "plugins.toml"
    with Host.open(folders, settings, plugins_file=file, store=store) as host:
        host.listen(heard.append)
        host.start()
        yield host, store, heard


@pytest.fixture
def run(ring: Any, plan_of: Any) -> Any:
    host, store, _ = ring

    def run_(prompt: str, **asked: Any) -> Any:
        plan = plan_of(prompt)
        if asked:
            small = {"width": 64, "height": 64, "size": 64, "num_inference_steps": 2}
            plan = host.plan(InvocationRequest(prompt=prompt, **small, **asked))
        return store.until(host.submit(plan).uuid, timeout_s=240)

    return run_


WRONG = "it gave {}; it must give a Frame, or None to leave it to the next"
ERRORS = {
    "raises": "the plugin 'wild' raised in run_step: ValueError: no such luck",
    "exits": "the plugin 'wild' raised in run_step: SystemExit: 7",
    "interrupts": "the plugin 'wild' raised in run_step: KeyboardInterrupt",
    "mute": "the plugin 'wild' raised in run_step: Mute (its __str__ raised RuntimeError)",
    "deep": "the plugin 'wild' raised in run_step: RecursionError: maximum recursion depth exceeded",
    "answers": "the plugin 'wild' is wrong in run_step: " + WRONG.format("str"),
    "swallowed": "the plugin 'around' is wrong in run_step: " + WRONG.format("NoneType"),
    "twice": "the plugin 'around' is wrong in run_step: it yielded twice; a wrapper yields once",
}


@pytest.mark.parametrize("prompt", ERRORS)
def test_whatever_a_plugin_does_fails_its_job_and_not_the_worker(ring: Any, run: Any, prompt: str) -> None:
    host, _, _ = ring
    assert run("good").status is JobStatus.COMPLETED
    before = host.worker_pid
    kept = run(prompt)
    assert kept.status is JobStatus.ERROR
    assert kept.error.startswith(ERRORS[prompt])
    assert host.worker_pid == before


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"scheduler": "wild"}, "step of the scheduler 'wild': ZeroDivisionError: division by zero"),
        (
            {"scheduler": "strict"},
            "set_timesteps of the scheduler 'strict': ValueError: odd is not supported",
        ),
        ({"upscale": ("wild-up",), "outscale": 2}, "upscale of the upscaler 'wild-up': KeyError: 'pixels'"),
    ],
)
def test_what_a_plugin_built_is_answered_for_by_it(run: Any, asked: Any, words: str) -> None:
    kept = run("a cat", **asked)
    assert kept.status is JobStatus.ERROR
    assert kept.error.startswith(f"the plugin 'wild' raised in {words}")
    (failed,) = (one for one in kept.plan.costs if one.failures)
    assert (failed.plugin, failed.failures) == ("wild", 1)
    assert failed.last.replace(" raised ", ": ").startswith(words)


def test_a_job_says_what_plugins_took_of_it(ring: Any, run: Any) -> None:
    host, _, _ = ring
    kept = run("a cat", seed=1)
    assert kept.status is JobStatus.COMPLETED
    recorded = {(row["plugin"], row["hook"]): row for row in kept.plan.to_json()["resolved"]["costs"]}
    steps = recorded["schedulers", "scheduler.step"]
    assert steps["calls"] == 2
    assert 0 < steps["seconds"] < 30
    assert recorded["around", "run_step"]["calls"] == len(["Diffuse", "Save"])
    assert not any(row["failures"] for row in recorded.values())
    host.guarding._totals._at = 0.0  # five seconds ago, and more
    deadline = time.monotonic() + 30
    rows = {}
    while "scheduler.step" not in rows and time.monotonic() < deadline:
        rows = {one.hook: one for one in read_totals(host.folders.root, "schedulers")}
        time.sleep(0.05)
    assert rows["scheduler.step"].calls >= 2
    assert rows["scheduler.build"].calls >= 1


def test_a_call_past_its_limit_is_told_while_it_lasts_and_stands_in_the_record(ring: Any, run: Any) -> None:
    _, _, heard = ring
    before = len(heard)
    kept = run("lasts")
    assert [note.partition(" for ")[0] for note in kept.plan.notes] == ["the plugin 'wild' is in run_step"]
    assert kept.plan.notes[0].endswith("s, past its limit of 0.3 s")
    told = [event for event in heard[before:] if isinstance(event, Measured)]
    assert [one.overruns for one in told[0].plugins] == [1]  # before the job's own
    assert (told[0].job, told[-1].job) == ("", kept.uuid)


def test_one_that_keeps_failing_is_switched_off_until_somebody_says_otherwise(
    ring: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, _ = ring
    with caplog.at_level(logging.ERROR):
        errors = [run("frail").error for _ in range(IN_A_ROW)]
    assert errors == ["the plugin 'frail' raised in run_step: OSError: worn out"] * IN_A_ROW
    why = (
        f"switched off after {IN_A_ROW} failures in a row (the last: run_step raised OSError: worn out); "
        "`stretto plugins enable frail` switches it on again"
    )
    row = next(row for row in host.plugins() if row.name == "frail")
    assert (row.status, row.reason) == ("off", why)
    assert f"the plugin 'frail' is {why}" in caplog.messages
    assert json.loads((host.folders.root / OFF_NAME).read_text())["frail"]["why"] == why
    assert host.guarding.switched_off == ("frail",)
    kept = run("frail")  # by another worker, which has not got it
    assert not kept.error or "frail" not in kept.error
    assert enable(host.folders.root, "frail")
    assert read_off(host.folders.root) == {}


def test_a_plugin_that_ends_the_worker_is_named(ring: Any, run: Any) -> None:
    _, _, heard = ring
    before = len(heard)
    kept = run("dies")
    assert kept.status is JobStatus.ERROR
    assert "died 2 times under this job" in kept.error
    assert "(last: exit code 9, in run_step of the plugin 'wild')" in kept.error
    crashes = [one for event in heard[before:] if isinstance(event, Measured) for one in event.plugins]
    assert [(one.plugin, one.hook, one.failures) for one in crashes] == [("wild", "run_step", 1)] * 2


# A plugin may take down a worker before that has begun with a job.
KILLS = {
    "import": """
import multiprocessing
import os

from stretto.host import LoaderSpec, hookimpl

if multiprocessing.current_process().name == "stretto-worker":
    os._exit(3)


@hookimpl
def observe(event):
    pass
""",
    "register_upscalers": """
import ctypes
import multiprocessing

from stretto.host import hookimpl


@hookimpl
def register_upscalers():
    if multiprocessing.current_process().name == "stretto-worker":
        ctypes.string_at(0)
    return []
""",
    "loader.build": """
import os

from stretto.host import LoaderSpec, hookimpl


@hookimpl
def register_loaders():
    yield LoaderSpec(name="fatal", build=lambda: os._exit(0))
""",
}
ENDS = {
    "import": "exit code 3, in import of the plugin 'fatal'",
    "register_upscalers": "ended by SIGSEGV, in register_upscalers of the plugin 'fatal'",
    "loader.build": "exit code 0, in build of the loader 'fatal' of the plugin 'fatal'",
}


@pytest.mark.parametrize("hook", KILLS)
def test_a_plugin_that_ends_a_worker_before_its_job_is_named_and_switched_off(
    tmp_path: Any, store_of: Any, plan_of: Any, hook: str
) -> None:
    (tmp_path / "fatal.py").write_text(KILLS[hook])
    file = tmp_path / "plugins.toml"
    file.write_text('[host]\nautoload = false\npaths = ["fatal.py"]\nmax_failures = 1\n')
    store = store_of()
    with Host.open(Folders(tmp_path / "data"), Settings(), plugins_file=file, store=store) as host:
        queue: Any = host._dispatcher
        queue._out = replace(queue._out, attempts=1)  # as each costs the start of a worker
        host.start()
        kept = store.until(host.submit(plan_of("a cat")).uuid, timeout_s=120)
        assert kept.status is JobStatus.ERROR
        assert f"{ENDS[hook]})" in kept.error
        assert host.guarding.switched_off == ("fatal",)
    (row,) = (one for one in read_totals(tmp_path / "data", "fatal") if one.hook == hook)
    assert row.failures == 1
    assert ENDS[hook] in row.last
