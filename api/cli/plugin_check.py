"""`stretto plugins check`: holds a plugin to what its hooks promise, in a process that may fall over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from stretto.host.errors import ConfigurationError

from .options import Place, as_json, place_options
from .tables import table

__all__ = ["check_command"]

HEADS = ("kind", "name", "outcome", "seconds", "MiB", "check")
LAST_WORDS = 2000  # characters of what a child that ended by itself said last


@click.command("check")
@click.argument("plugin", metavar="PATH|NAME")
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="Seconds after which the checks are ended.",
)
@as_json
@place_options
@click.pass_context
def check_command(
    context: click.Context, place: Place, *, plugin: str, time_limit_s: float, as_json: bool
) -> None:
    """Check a plugin on the CPU: a Python file, a project's folder, or the name of one that is found.

    Nothing is installed, and none of the host's data is touched. Exits with 1 if a check failed.
    """
    rows = _checked(_isolated(plugin, place) or (_meant(plugin, place),), time_limit_s)
    failed = sum(row["outcome"] == "failed" for row in rows)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(table(HEADS, [_cells(row) for row in rows]))
        skipped = sum(row["outcome"] == "skipped" for row in rows)
        passed = len(rows) - failed - skipped
        click.echo(f"\n{len(rows)} checks: {passed} passed, {failed} failed, {skipped} skipped")
    context.exit(1 if failed else 0)


def _meant(plugin: str, place: Place) -> str:
    """Find the file that plugins.toml has under a plugin's name; else what was said."""
    from stretto.host.plugboard.switches import read_switches

    if Path(plugin).exists():
        return str(Path(plugin).resolve())
    switches = read_switches(place.plugins_file, place.folders.root)
    files = {path.stem: path for path in switches.paths}
    return str(files.get(plugin, plugin))


def _isolated(plugin: str, place: Place) -> tuple[str, ...] | None:
    """Give the name, the environment's record and the limits of an isolated plugin; None for another.

    Raises ConfigurationError for one without an environment, and for wrong limits.
    """
    from stretto.host.isolation.environments import environments
    from stretto.host.plugboard.switches import HOST_KEYS, read_switches
    from stretto.host.runtime.switching import find

    if Path(plugin).exists():
        return None
    switches = read_switches(place.plugins_file, place.folders.root)
    if not any(
        one.name == plugin and one.origin.startswith("isolated") for one in find(place.folders, switches)
    ):
        return None
    table = switches.tables.get(plugin, {})
    for environment in environments(place.folders.environments):
        if plugin in environment.plugins:
            limits = {key: table[key] for key in HOST_KEYS if key in table}
            return plugin, str(environment.record), json.dumps(limits)
    raise ConfigurationError(
        f"the plugin '{plugin}' is isolated and has no environment of its own; make one: "
        "stretto plugins install PACKAGE --isolated"
    )


def _checked(meant: Sequence[str], time_limit_s: float) -> list[dict[str, Any]]:
    """Give the rows that the child wrote; one more says how it ended, if it did not end well."""
    plugin, *apart = meant
    command = [sys.executable, "-P", "-m", "stretto.api.plugin_checks", plugin]
    with (
        tempfile.TemporaryDirectory(prefix="stretto-check-") as folder,
        tempfile.TemporaryFile("w+b") as told,
        tempfile.TemporaryFile("w+b") as said,
    ):
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*command, str(told.fileno()), *apart],
            env={**os.environ, "TMPDIR": folder},  # what it leaves when it is ended goes with this folder
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=(told.fileno(),),
            start_new_session=True,
        )
        try:
            child.wait(time_limit_s)
            why = ""
        except subprocess.TimeoutExpired:
            why = f"it was not done after {time_limit_s:g} s (--time-limit); a hook or `build` waits for something"
        finally:
            _end(child)
        told.seek(0)
        lines = [json.loads(line) for line in told.read().decode().splitlines()]
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    return _rows(lines, why or _epitaph(child.returncode, words))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child, if it is still there, and all that it started, which may outlive it."""
    with suppress(ProcessLookupError, PermissionError):  # PermissionError is macOS' word for a zombie
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _epitaph(code: int, words: str) -> str:
    from stretto.host.isolation.process import signal_name

    how = f"by {signal_name(-code)}" if code < 0 else f"with exit code {code}"
    last = words[-LAST_WORDS:].splitlines()
    return f"the process ended {how}" + (f": {last[-1]}" if last else "")


def _rows(lines: Sequence[Mapping[str, Any]], end: str) -> list[dict[str, Any]]:
    for line in lines:
        if "refused" in line:
            raise ConfigurationError(str(line["refused"]))
    rows = [dict(line["row"]) for line in lines if "row" in line]
    if lines and "done" in lines[-1]:
        return rows
    last = lines[-1].get("begun") if lines else None
    at = last or {"kind": "plugin", "name": "?", "check": "the checks begin"}
    return [*rows, {**at, "outcome": "failed", "seconds": 0.0, "peak_bytes": 0, "detail": end}]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    check = f"{row['check']}: {row['detail']}" if row["detail"] else row["check"]
    mib = row["peak_bytes"] / 2**20
    return row["kind"], row["name"], row["outcome"], f"{row['seconds']:.2f}", f"{mib:.0f}", check
