"""Crashes, hangs and leaks of isolated plugins: each costs its own call, and nothing stays behind."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from stretto.host.errors import InvalidRequestError, NotFoundError, PluginError
from stretto.host.isolation.proxies import IsolatedPlugin
from stretto.host.settings import Settings

from .conftest import Rough, isolation

SHARED = Path("/dev/shm")  # noqa: S108 - where Linux shows shared memory that has a name
FILES = Path("/proc/self/fd")
SMALL = Image.new("RGB", (16, 8), "red")


def _upscaler(plugin: IsolatedPlugin, name: str) -> Any:
    return next(spec for spec in plugin.register_upscalers() if spec.name == name).build("cpu")


def _works(plugin: IsolatedPlugin) -> bool:
    return bool(_upscaler(plugin, "same").upscale(SMALL, 1) == SMALL)


def _said(plugin: IsolatedPlugin, name: str) -> str:
    upscaler = _upscaler(plugin, name)
    with pytest.raises(PluginError) as caught:
        upscaler.upscale(SMALL, 2)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("killed", "was ended by SIGKILL in upscale; the next call starts its process anew"),
        pytest.param(
            "realtime",
            "was ended by signal 35 in upscale; the next call starts its process anew",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has signals without a name"),
        ),
        ("fault", "was ended by SIGSEGV in upscale; the next call starts its process anew"),
        (
            "left",
            "left with exit code 3 in upscale (it printed last: no more); the next call starts its process anew",
        ),
        ("raises", "raised in upscale: ValueError: no such thing"),
        ("leaves", "raised in upscale: SystemExit: enough"),
        ("unprintable", "raised in upscale: Odd"),
        ("halved", "raised in upscale: ValueError: half \\ud800 " + "x" * 1993),
        ("panics", "raised in upscale: KeyboardInterrupt: no more"),
        (
            "opens",
            (
                "raised in upscale: OSError: [Errno 24] Too many open files: '/dev/null'; its process was ended, and "
                "the next call starts it anew"
            ),
        ),
        (
            "small",
            "gave a picture of 1 x 2 px in RGB in upscale; it must be 32 x 16 px in RGB",
        ),
        ("grey", "gave a picture of 16 x 8 px in L in upscale; it must be 32 x 16 px in RGB"),
        pytest.param(
            "hangsup",
            "closed its pipe in upscale, and its process was ended",
            marks=pytest.mark.skipif(not FILES.exists(), reason="the plugin finds the pipe by /proc"),
        ),
        pytest.param(
            "bloats",
            "sent a message of 33554432 bytes; at most 16777216 are read",
            marks=pytest.mark.skipif(not FILES.exists(), reason="the plugin finds the pipe by /proc"),
        ),
        pytest.param(
            "forgets",
            "raised in upscale: OSError: [Errno 9] Bad file descriptor; its process was ended, and the next call starts it "
            "anew",
            marks=pytest.mark.skipif(not FILES.exists(), reason="the plugin finds the memory by /proc"),
        ),
        pytest.param(
            "twice",
            "sent an answer in upscale that nobody asked for, and its process was ended",
            marks=pytest.mark.skipif(not FILES.exists(), reason="the plugin finds the pipe by /proc"),
        ),
        ("wrong", "raised in upscale: it gave str, and must give a picture"),
    ],
)
def test_a_call_that_fails_names_the_plugin_and_the_next_one_works(
    rough: Rough, name: str, message: str
) -> None:
    plugin = rough()
    assert _said(plugin, name) == f"the plugin 'rough' {message}"
    assert _works(plugin)


def test_a_hang_ends_at_its_limit(rough: Rough) -> None:
    plugin = rough(time_limit_s=1.5)
    begun = time.monotonic()
    assert _said(plugin, "hangs") == (
        "the plugin 'rough' did not come to an end of upscale within its time_limit_s of 1.5 s, and its process "
        "was ended; raise time_limit_s in [plugins.rough] if it needs longer"
    )
    assert time.monotonic() - begun < 10
    assert _works(plugin)


@pytest.mark.parametrize("name", ["leaks", "grows"])
def test_a_leak_ends_at_its_limit(rough: Rough, name: str) -> None:
    plugin = rough(memory_limit_bytes=2**27)
    upscaler = _upscaler(plugin, name)

    def calls() -> None:
        for _ in range(10):  # what grows by 32 MiB a call has them after a few
            upscaler.upscale(SMALL, 2)

    with pytest.raises(PluginError) as caught:
        calls()
    assert str(caught.value).startswith("the plugin 'rough' took ")
    assert str(caught.value).endswith(
        " of memory in upscale, more than its memory_limit_bytes of 134217728 (128 MiB), and its process was ended; "
        "raise memory_limit_bytes in [plugins.rough] if it needs more"
    )
    assert _works(plugin)


@pytest.mark.skipif(not FILES.exists(), reason="the plugin finds the memory by /proc")
def test_what_it_puts_into_the_memory_of_pictures_counts(rough: Rough) -> None:
    plugin = rough(memory_limit_bytes=2**27)
    assert " of memory in upscale, more than its memory_limit_bytes of 134217728 (128 MiB)" in _said(
        plugin, "overfills"
    )
    assert _works(plugin)


def test_one_that_prints_while_it_leaks_is_looked_at_all_the_same(
    rough: Rough, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stretto.host.isolation.process._LOOK_S", 0.2)
    plugin = rough(memory_limit_bytes=2**27)
    with caplog.at_level(logging.WARNING, "stretto.host.isolation"):
        _upscaler(plugin, "prints").upscale(SMALL, 1)
        pid, deadline = plugin.remote.pid, time.monotonic() + 10
        assert pid is not None
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _runs(pid)
    assert any(
        " of memory in no call, more than its memory_limit_bytes" in words for words in caplog.messages
    )


def test_one_that_closes_its_output_is_kept_and_looked_after(
    rough: Rough, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stretto.host.isolation.process._LOOK_S", 0.1)
    plugin = rough(memory_limit_bytes=2**27)
    _upscaler(plugin, "mute").upscale(SMALL, 1)
    pid = plugin.remote.pid or 0
    time.sleep(0.3)
    assert _works(plugin)
    assert plugin.remote.pid == pid
    _upscaler(plugin, "later").upscale(SMALL, 1)
    _until_ended(pid)
    assert _works(plugin)


def test_one_that_is_killed_while_nobody_calls_it_is_started_anew(rough: Rough) -> None:
    plugin = rough()
    assert _works(plugin)
    pid = plugin.remote.pid or 0
    os.kill(pid, signal.SIGKILL)
    _until_ended(pid)
    assert _works(plugin)
    assert plugin.remote.pid != pid


def test_one_that_ran_out_of_files_is_started_anew_whatever_it_says(rough: Rough) -> None:
    plugin = rough()
    upscaler = _upscaler(plugin, "wraps")
    for _ in range(2):
        with pytest.raises(NotFoundError, match=r"^no such weights$"):
            upscaler.upscale(SMALL, 1)
        assert _works(plugin)


def test_what_it_forks_does_not_answer_for_it(rough: Rough) -> None:
    plugin = rough()
    upscaler = _upscaler(plugin, "forks")
    for amount in 2, 3:
        assert upscaler.upscale(SMALL, amount).size == (16 * amount, 8 * amount)
        assert (
            psutil.Process(plugin.remote.pid).children() == []
        )  # none that goes on as if it were the plugin
    assert _works(plugin)


def test_it_sees_the_settings_of_the_host_as_they_are_now(rough: Rough) -> None:
    now = [Settings(max_queued_invocations=7)]
    plugin = rough(settings=lambda: now[0])
    now[0] = Settings(max_queued_invocations=9)  # before its process was started
    upscaler = _upscaler(plugin, "seen")
    assert upscaler.upscale(SMALL, 1).getpixel((0, 0)) == (9, 9, 9)
    pid = plugin.remote.pid
    now[0] = Settings(max_queued_invocations=11)
    assert upscaler.upscale(SMALL, 1).getpixel((0, 0)) == (11, 11, 11)
    assert plugin.remote.pid == pid


def test_our_errors_come_as_they_are(rough: Rough) -> None:
    plugin = rough()
    with pytest.raises(NotFoundError, match=r"^there is no such thing$"):
        _upscaler(plugin, "refuses").upscale(SMALL, 1)
    with pytest.raises(InvalidRequestError) as caught:
        _upscaler(plugin, "blames").upscale(SMALL, 1)
    assert [(fault.field, fault.message) for fault in caught.value.faults] == [("upscale", "is too much")]


def test_what_it_prints_is_logged_and_no_answer(rough: Rough, caplog: pytest.LogCaptureFixture) -> None:
    plugin = rough()
    with caplog.at_level(logging.INFO, "stretto.host.isolation"):
        assert _upscaler(plugin, "garbage").upscale(SMALL, 1) == SMALL
        plugin.close()
    assert any(message.endswith('{"answer": "mine"}') for message in caplog.messages)
    assert all(message.isprintable() and len(message) < 2000 for message in caplog.messages)


@pytest.mark.skipif(not FILES.exists(), reason="the plugin finds the pipe by /proc")
def test_what_is_no_message_ends_the_process(rough: Rough) -> None:
    plugin = rough()
    assert _said(plugin, "babbles") == "the plugin 'rough' sent what is no message: b'{not}'"
    assert _works(plugin)


def _until_ended(*pids: int) -> None:
    deadline = time.monotonic() + 10
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if _runs(pid)] == []


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_it_starts_when_it_is_called_and_ends_with_the_host(rough: Rough, tmp_path: Path) -> None:
    plugin = rough()
    assert plugin.remote.pid is None
    assert _works(plugin)
    pid = plugin.remote.pid
    assert pid is not None
    assert pid != os.getpid()
    assert _upscaler(plugin, "built").upscale(SMALL, 1).getpixel((0, 0)) == (2, 2, 2)
    assert _upscaler(plugin, "built").upscale(SMALL, 1).getpixel((0, 0)) == (2, 2, 2)  # it is kept
    assert plugin.remote.pid == pid
    plugin.close()
    plugin.close()
    assert not _runs(pid)
    assert (tmp_path / "diary.txt").read_text() == "stopped\n"
    with pytest.raises(
        PluginError, match=r"^the plugin 'rough' is not called any more: the host has closed it$"
    ):
        plugin.register_upscalers()[0].build("cpu")


def test_nothing_stays_open(rough: Rough) -> None:
    plugin = rough()
    assert _works(plugin)
    process = psutil.Process()
    before = process.num_fds()
    for name in ("killed", "left"):
        _said(plugin, name)
        assert _works(plugin)
    assert process.num_fds() == before
    # nor in what all processes share: a piece of memory without a name is no file there
    assert [path.name for path in SHARED.glob("*stretto*")] == []


class _StoppedError(Exception):
    """What a check raises."""


def test_a_call_that_hangs_ends_when_the_job_is_stopped(rough: Rough) -> None:
    plugin = rough(time_limit_s=60.0)
    upscaler = _upscaler(plugin, "hangs")
    begun = time.monotonic()

    def check() -> None:
        raise _StoppedError

    with plugin.remote.checked(check), pytest.raises(_StoppedError):
        upscaler.upscale(SMALL, 1)
    assert time.monotonic() - begun < 5
    assert _works(plugin)


def test_several_that_hang_at_their_end_are_waited_for_together(rough_root: Path, tmp_path: Path) -> None:
    apart = isolation(rough_root, {"rough": {"diary": str(tmp_path / "diary.txt"), "lingers": True}})
    (environment,) = apart.environments()
    pids = []
    for _ in range(3):
        plugin = apart.load(environment, "rough")
        assert _works(plugin)
        pids.append(plugin.remote.pid or 0)
    begun = time.monotonic()
    apart.close()
    assert time.monotonic() - begun < 4  # two seconds each
    _until_ended(*pids)


def test_what_leaks_between_calls_is_ended_too(
    rough: Rough, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stretto.host.isolation.process._LOOK_S", 0.05)
    plugin = rough(memory_limit_bytes=2**27)
    _upscaler(plugin, "later").upscale(SMALL, 1)
    pid = plugin.remote.pid
    assert pid is not None
    deadline = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)
    assert any(message.startswith("the plugin 'rough' took ") for message in caplog.messages)
    assert _works(plugin)


def test_calls_from_several_threads_get_their_own_answers(rough: Rough) -> None:
    plugin = rough()
    upscaler = _upscaler(plugin, "same")
    pictures = [Image.new("L", (8 + i, 4), i) for i in range(24)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda picture: upscaler.upscale(picture, 1), pictures)) == pictures


def test_a_call_behind_one_that_hangs_can_be_stopped_and_costs_it_nothing(rough: Rough) -> None:
    plugin = rough(time_limit_s=60.0)
    upscaler = _upscaler(plugin, "hangs")
    pid, stopped, at_work = plugin.remote.pid, False, threading.Event()

    def first() -> None:
        with plugin.remote.checked(at_work.set):
            upscaler.upscale(SMALL, 1)

    def check() -> None:
        if stopped:
            raise _StoppedError

    def second() -> None:
        with plugin.remote.checked(check):
            upscaler.upscale(SMALL, 1)

    with ThreadPoolExecutor(2) as pool:
        hanging = pool.submit(first)
        assert at_work.wait(10)
        waiting = pool.submit(second)
        stopped = True
        with pytest.raises(_StoppedError):
            waiting.result(5)
        assert not hanging.done()
        assert plugin.remote.pid == pid
        plugin.remote.close()
        with pytest.raises(PluginError, match=r"was ended, for the host stops"):
            hanging.result(10)


def test_a_call_waits_for_others_no_longer_than_its_limit(rough: Rough) -> None:
    plugin = rough(time_limit_s=1.0)
    upscaler = _upscaler(plugin, "hangs")
    pid = plugin.remote.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while _runs(pid):
        time.sleep(0.01)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upscaler.upscale, SMALL, 1)  # has the process's start before its own second
        while plugin.remote.pid == pid:
            time.sleep(0.001)
        with pytest.raises(PluginError) as caught:
            plugin.remote.call("missing", kind="upscalers", name="absent")
        with pytest.raises(PluginError, match=r"did not come to an end of upscale"):
            first.result(10)
    assert str(caught.value) == (
        "the plugin 'rough' did not come to missing within its time_limit_s of 1 s, for its process was at other calls; "
        "raise time_limit_s in [plugins.rough] if they need longer"
    )
    assert _works(plugin)
