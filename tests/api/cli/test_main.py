"""The command's frame: what it imports, how it answers wrong words, and how it exits."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from stretto.api.cli import main as command
from stretto.host.errors import BadRequestError, EngineError

BINARY = Path(sys.executable).with_name("stretto")


def _run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STRETTO_DATA_DIR": str(folder / "data"), "NO_COLOR": "1"}
    return subprocess.run(
        [BINARY, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _imported(arguments: Sequence[str], folder: Path) -> set[str]:
    """Run a command line in a fresh interpreter and give the modules that it loaded."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n"
        f"from stretto.api.cli.main import main\nmain({list(arguments)!r})"
    )
    environment = {**os.environ, "STRETTO_DATA_DIR": str(folder / "data")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"torch", "diffusers", "pydantic", "pony", "PIL", "numpy", "bottle"}),
        (["invoke", "--help"], {"torch", "diffusers", "pony", "PIL", "numpy"}),
        (["plugins", "list"], {"torch", "diffusers", "transformers", "tensorrt", "onnxruntime"}),
        (["models", "list"], {"torch", "diffusers", "transformers", "tensorrt", "onnxruntime"}),
        (["invoke", "a red circle", "--dry-run"], {"torch", "diffusers", "transformers", "onnxruntime"}),
    ],
    ids=["help", "invoke-help", "plugins-list", "models-list", "dry-run"],
)
def test_command_imports_nothing_that_it_does_not_need(
    arguments: list[str], absent: set[str], tmp_path: Path
) -> None:
    assert _imported(arguments, tmp_path) & absent == set()


def _cpu_seconds(arguments: Sequence[str], folder: Path) -> float:
    # Of the processor, not of the clock: a busy machine is no fault of the command.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = _run(arguments, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Imports of Python's own that take 0.09 s of the processor that the limits below are of.
OWN = "import asyncio, decimal, email.mime.text, http.server, sqlite3, unittest.mock, xml.dom.minidom"
OWN_S = 0.09


def _limit_s(seconds: float) -> float:
    """Give as much more as this machine takes now for what is none of ours."""
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", OWN], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return seconds * max(1.0, min(took) / OWN_S)


def test_help_is_quick(tmp_path: Path) -> None:
    assert min(_cpu_seconds(["--help"], tmp_path) for _ in range(5)) <= _limit_s(0.35)


def test_listing_plugins_is_quick(tmp_path: Path) -> None:
    assert min(_cpu_seconds(["plugins", "list"], tmp_path) for _ in range(5)) < _limit_s(0.5)


def test_group_help_says_what_each_command_says_of_itself() -> None:
    context = click.Context(command.cli)
    for name, (_, line) in command.COMMANDS.items():
        found = command.cli.get_command(context, name)
        assert found is not None
        assert found.get_short_help_str(limit=200) == line, name


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("stretto ")


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["--nothing"], ["plugins"], ["models", "path"], ["invoke"]], ids=" ".join
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(arguments) == 2
    assert "Usage: stretto" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (EngineError("the disk is full"), 1, "stretto: EngineError: the disk is full\n"),
        (BadRequestError("width: too wide"), 2, "stretto: BadRequestError: width: too wide\n"),
        (
            PermissionError(13, "Permission denied", "out"),
            1,
            "stretto: PermissionError: [Errno 13] Permission denied: 'out'\n",
        ),
        (KeyboardInterrupt(), 130, "\nstretto: stopped\n"),
    ],
)
def test_errors_become_words_and_a_status(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(command.cli, "get_command", lambda *_: click.Command("failing", callback=fail))
    assert command.run(["failing"]) == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "error", [OSError(4, "Interrupted system call"), EngineError("ended"), ImportError("half")]
)
def test_ctrl_c_is_told_whatever_it_came_out_as(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise error from None

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # who tests in the background ignores it
    try:
        monkeypatch.setattr(command.cli, "get_command", lambda *_: click.Command("pressing", callback=press))
        assert command.run(["pressing"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "stretto: stopped\n"
