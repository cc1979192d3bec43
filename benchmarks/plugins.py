"""What plugins cost: the start of a host that has many, an event that one hears, and the list of them all."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from stretto.host import StepProgress
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

from .report import Row

__all__ = ["plugins"]

MANY = 50
EVENTS = 2000
ROUNDS = 9
PLUGIN = '''"""Does next to nothing."""

from stretto.host import SchedulerSpec, hookimpl

REQUIRES_STRETTO_API = ">=1.0,<2"


def build(config):
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_config(config)


@hookimpl
def register_schedulers():
    return [SchedulerSpec(name="trivial-{number}", build=build)]
'''
OBSERVER = '''"""Hears every event."""

from stretto.host import hookimpl


@hookimpl
def observe(event):
    pass
'''
# A host that is open, in a process of its own: seconds of CPU since its start, and in `Host.open` alone. Neither waits
# for anything, so that on an idle machine they are the seconds of the clock as well.
OPEN = """
import sys, time
from pathlib import Path
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
began = time.process_time()
with Host.open(Folders(Path(sys.argv[1])), Settings()) as host:
    opened = time.process_time()
    on = sum(row.status == "on" for row in host.plugins())
print(opened, opened - began, on)
"""


def plugins(out: Path) -> list[Row]:
    """Measure starts in processes of their own, one kind after the other in turns, and events in this one."""
    installed = _install(out / "installed")
    few, many = _starts(out, installed)
    return [
        *_ratios(few, many),
        *(_dispatch(out, observers) for observers in (1, 10)),
        _listing(out, None, "built-ins"),
        _listing(out, installed, f"built-ins and {MANY}"),
    ]


def _install(folder: Path) -> Path:
    """Lay down what `pip install --target` leaves of packages with one module."""
    for number in range(MANY):
        name = f"trivial_{number}"
        about = folder / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (folder / f"{name}.py").write_text(PLUGIN.replace("{number}", str(number)), encoding="utf-8")
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
        )
        (about / "entry_points.txt").write_text(f"[stretto]\n{name} = {name}\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)  # as pip does
    return folder


def _environment(installed: Path | None) -> dict[str, str]:
    return {**os.environ, **({"PYTHONPATH": str(installed)} if installed else {})}


def _starts(out: Path, installed: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Give the CPU seconds of the process and of `Host.open` in it, without the installed plugins and with them."""
    few: list[tuple[float, float]] = []
    many: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        for found, where, least in ((few, None, 0), (many, installed, MANY)):
            done = subprocess.run(
                [sys.executable, "-c", OPEN, out / "host"],
                env=_environment(where),
                cwd=out,
                capture_output=True,
                text=True,
                check=True,
            )
            took, opened, on = done.stdout.split()
            if int(on) < least:
                raise RuntimeError(f"only {on} plugins are on: {done.stderr}")
            found.append((float(took), float(opened)))
    return few, many


def _ratios(few: list[tuple[float, float]], many: list[tuple[float, float]]) -> list[Row]:
    rows = []
    for place, name in enumerate(("the process", "Host.open alone")):
        before, after = (median(took[place] for took in series) for series in (few, many))
        rows.append(
            Row(
                name=f"host start, {MANY} plugins more: {name}",
                value=after / before,
                bound=1.5,
                unit="x",
                detail=f"{1000 * before:.0f} ms of CPU with the built-ins, {1000 * after:.0f} ms; medians of {ROUNDS}",
            )
        )
    return rows


def _dispatch(out: Path, observers: int) -> Row:
    """Time events through the board, each heard by so many plugins, with the ledger and the guards at work."""
    folder = out / f"observers-{observers}"
    folder.mkdir()
    files = [folder / f"observer_{number}.py" for number in range(observers)]
    for file in files:
        file.write_text(OBSERVER, encoding="utf-8")
    switches = folder / "plugins.toml"
    switches.write_text(
        f"[host]\nautoload = false\npaths = {[str(file) for file in files]}\n", encoding="utf-8"
    )
    event = StepProgress(job="a" * 32, number=1, step=1, total=20, task="denoising")
    took = []
    with Host.open(Folders(folder / "data"), Settings(), plugins_file=switches) as host:
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(EVENTS):
                host.board.observe(event)
            took.append(1e6 * (time.process_time() - began) / EVENTS / observers)
    return Row(
        name=f"an event to {observers} observer{'s' if observers > 1 else ''}, each",
        value=median(took),
        bound=20,
        unit="us",
        detail=f"CPU; median of {ROUNDS} times {EVENTS} events, best {min(took):.1f}",
    )


def _listing(out: Path, installed: Path | None, words: str) -> Row:
    command: list[str | Path] = [
        Path(sys.executable).with_name("stretto"),
        "plugins",
        "list",
        "--data-dir",
        out / "host",
    ]
    took, worked = [], []
    for _ in range(ROUNDS):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment(installed), cwd=out)
        took.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        worked.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    detail = f"median of {ROUNDS}, {words}, best {min(took):.2f}; CPU {median(worked):.2f}"
    return Row(name=f"stretto plugins list, {words}", value=median(took), bound=0.5, unit="s", detail=detail)
