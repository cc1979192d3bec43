"""`stretto plugins check`: a table or JSON, and rows for a plugin that takes its process down with it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from stretto.api.cli.main import run

HEAD = """
import os
import signal
import time
from dataclasses import dataclass

from stretto.host import Answer, CommandSpec, NotFoundError, RouteSpec, UpscalerSpec, hookimpl

REQUIRES_STRETTO_API = ">=1.0,<2"


class Repeated:
    def upscale(self, image, amount):
        return image.resize((image.width * amount, image.height * amount), 0)

"""
GOOD = (
    HEAD
    + """
@hookimpl
def register_upscalers():
    return [UpscalerSpec(name="mine", build=lambda device: Repeated())]
"""
)
FALLS = (
    HEAD
    + """
class Fallen(Repeated):
    def upscale(self, image, amount):
        FALL


@hookimpl
def register_upscalers():
    return [UpscalerSpec(name="mine", build=lambda device: Fallen())]
"""
)
SERVES = (
    HEAD
    + '''
@dataclass(frozen=True)
class Query:
    """Which colours."""

    size: int = 3


def colours(call):
    """Give so many colours."""
    return Answer(value=["red", "green", "blue"][: call.query.size])


def colour(call):
    """Give one colour."""
    raise NotFoundError(f"there is no colour {call.names['name']}; give red, green or blue")


def bad(call):
    return 7


def command():
    import click

    @click.command(help="Mix colours.")
    @click.option("--size", default=3, help="How many.")
    def mix(size):
        pass

    return mix


@hookimpl
def register_routes():
    return [
        RouteSpec(name="colours", title="All colours", method="GET", path="/api/colours", handle=colours,
                  query=Query, answer=list[str]),
        RouteSpec(name="colour", title="One colour", method="GET", path="/api/colours/<name>", handle=colour,
                  answer=str),
        # another
    ]


@hookimpl
def register_commands():
    return [CommandSpec(name="mix", title="Mix colours", build=command)]
'''
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = run(["plugins", "check", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_a_file_is_shown_as_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("mine.py").write_text(GOOD)
    assert run(["plugins", "check", "mine.py"]) == 0
    head, *rows, _, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["KIND", "NAME", "OUTCOME", "SECONDS", "MIB", "CHECK"]
    assert rows[0].split(maxsplit=5)[:3] == ["plugin", "mine", "passed"]
    assert last == "16 checks: 16 passed, 0 failed, 0 skipped"
    assert not (tmp_path / "data").exists()


def test_a_project_that_is_not_installed_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    source = Path("project/src")
    source.mkdir(parents=True)
    (source / "mine_plugin.py").write_text(GOOD)
    Path("project/pyproject.toml").write_text(
        '[project]\nname = "stretto-mine"\nversion = "1"\n[project.entry-points.stretto]\nmine = "mine_plugin"\n'
    )
    code, rows = check(capsys, "project")
    assert code == 0
    assert {(row["kind"], row["name"]) for row in rows} == {("plugin", "mine"), ("upscaler", "mine")}


def test_a_name_in_plugins_toml_is_that_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("else").mkdir()
    Path("else/mine.py").write_text(GOOD)
    Path("plugins.toml").write_text('[host]\npaths = ["else/mine.py"]\n')
    code, rows = check(capsys, "mine")
    assert (code, rows[0]["name"]) == (0, "mine")


def test_a_name_in_the_data_directorys_file_is_that_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.py").write_text(GOOD)
    (tmp_path / "data" / "plugins.toml").write_text('[host]\npaths = ["mine.py"]\n')
    code, rows = check(capsys, "mine")
    assert (code, rows[0]["name"]) == (0, "mine")


APART = """
import os, signal, torch
from dataclasses import dataclass

from stretto.host import UpscalerSpec, hookimpl
from stretto.host.plugboard.tables import read_table

REQUIRES_STRETTO_API = ">=1.0,<2"


@dataclass(frozen=True)
class Grain:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Settings:
    grain: Grain = Grain()
    shade: int = 3


class Good:
    def upscale(self, image, amount):
        return image.resize((image.width * amount, image.height * amount), 0)


class Fallen(Good):
    def upscale(self, image, amount):
        os.kill(os.getpid(), signal.SIGKILL)


ONE = Good()


def opened(weights, device):
    raise ValueError("bad magic")


@hookimpl
def register_upscalers(host):
    assert host.plugin_settings("apart", Settings).shade == 3
    url = "https://example.org/a.pth"
    return [
        UpscalerSpec(name="good", build=lambda device: Good()),
        UpscalerSpec(name="one", build=lambda device: ONE),
        UpscalerSpec(name="fallen", build=lambda device: Fallen()),
        UpscalerSpec(name="opens", open=opened, files=("a.pth",), source=url),
    ]
"""


def _wheel(folder: Path) -> Path:
    info, path = "stretto_apart-1.2.dist-info", folder / "stretto_apart-1.2-py3-none-any.whl"
    files = {
        "apart.py": APART,
        "torch.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: stretto-apart\nVersion: 1.2\nRequires-Dist: stretto\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[stretto]\napart = apart\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return path


def test_an_isolated_plugin_is_checked_where_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["plugins", "install", str(_wheel(tmp_path)), "--isolated", "--", "--no-index"]) == 0
    capsys.readouterr()
    limits = "isolated = true\ntime_limit_s = 30\n"
    (tmp_path / "data" / "plugins.toml").write_text(
        f"[plugins.apart]\n{limits}shade = 9\n"
    )  # is not asked for
    before = sorted(path for path in tmp_path.rglob("*"))
    code, rows = check(capsys, "apart")
    assert sorted(path for path in tmp_path.rglob("*")) == before
    failed = {(row["name"], row["check"]): row["detail"] for row in rows if row["outcome"] == "failed"}
    assert code == 1
    borders = failed.pop(("apart", "it imports what is public alone"))
    assert borders.startswith(str(tmp_path / "data" / "environments"))
    assert "apart.py:6: stretto.host.plugboard.tables.read_table is not public" in borders
    imports = "importing it pulls in no torch"
    names = ("apart", "good", "one", "fallen", "opens")
    told = {failed.pop((name, imports)) for name in names}
    assert told == {"importing 'apart' imports torch; import them inside `build`"}
    assert failed.pop(("one", "build twice gives two objects")).startswith("`build` gave one object twice")
    assert failed.pop(("opens", "errors are ours")) == (
        "on a file that is no weights it raises ValueError: bad magic; raise one of stretto.host instead, such as "
        "WeightsError, that says what is wrong and what would do"
    )
    assert {name for name, _ in failed} == {"fallen"}
    assert all("the plugin 'apart' was ended by SIGKILL in upscale" in detail for detail in failed.values())
    good = [row["check"] for row in rows if row["name"] == "good" and row["outcome"] == "passed"]
    assert "it enlarges tiny and odd sizes on the CPU" in good
    assert [row["outcome"] for row in rows if row["check"].startswith("its Settings")] == ["passed"]


def test_an_isolated_plugin_without_an_environment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("plugins.toml").write_text("[plugins.mine]\nisolated = true\n")
    assert run(["plugins", "check", "mine"]) == 1
    assert capsys.readouterr().err == (
        "stretto: ConfigurationError: the plugin 'mine' is isolated and has no environment of its own; make one: stretto "
        "plugins install PACKAGE --isolated\n"
    )


def test_what_a_crashed_plugin_started_ends_with_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fall = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); os._exit(3)"
    )
    Path("mine.py").write_text(FALLS.replace("FALL", fall))
    code, _ = check(capsys, "mine.py")
    assert code == 1
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("fall", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process ended by SIGKILL"),
        pytest.param(
            "os.kill(os.getpid(), 35)",
            "the process ended by signal 35",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has signals without a name"),
        ),
        ("os._exit(3)", "the process ended with exit code 3"),
        ("print('farewell', flush=True); os._exit(0)", "the process ended with exit code 0: farewell"),
    ],
)
def test_a_crash_is_a_row_of_the_check_that_it_came_in(
    fall: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text(FALLS.replace("FALL", fall))
    code, rows = check(capsys, "mine.py")
    assert code == 1
    assert rows[-1]["check"] == "it enlarges tiny and odd sizes on the CPU"
    assert (rows[-1]["outcome"], rows[-1]["detail"]) == ("failed", words)
    assert rows[-2]["outcome"] == "passed"


def test_what_never_ends_is_ended_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Path("mine.py").write_text(FALLS.replace("FALL", "time.sleep(600)"))
    begun = time.monotonic()
    code, rows = check(capsys, "mine.py", "--time-limit", "6")
    assert time.monotonic() - begun < 30
    assert code == 1
    assert "it was not done after 6 s (--time-limit)" in rows[-1]["detail"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_routes_are_called_through_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(SERVES)
    code, rows = check(capsys, "mine.py")
    assert code == 0, [row for row in rows if row["outcome"] == "failed"]
    called = {(row["name"], row["check"]): row["outcome"] for row in rows if row["kind"] == "route"}
    for name in ("colours", "colour"):
        assert called[name, "it stands in the OpenAPI document"] == "passed"
        assert called[name, "the API answers it"] == "passed"
        assert called[name, "it answers in process, or with an error of ours"] == "passed"
    assert called["colours", "the API refuses what it does not take"] == "passed"
    assert called["colour", "the API refuses what it does not take"] == "skipped"
    assert sum(row["kind"] == "command" for row in rows) == 8


def test_a_route_without_words_or_answer_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    another = 'RouteSpec(name="bad", method="GET", path="/api/bad-one", handle=bad),'
    Path("mine.py").write_text(SERVES.replace("# another", another))
    code, rows = check(capsys, "mine.py")
    failed = {row["check"]: row["detail"] for row in rows if row["outcome"] == "failed"}
    assert code == 1
    assert "`title` is empty" in failed["it is documented"]
    assert "`handle` gives int; give an Answer" in failed["it answers in process, or with an error of ours"]
    assert "is answered with 500" in failed["the API answers it"]


def test_what_is_no_plugin_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "check", "nonesuch"]) == 1
    assert "'nonesuch' is no file, no project's folder" in capsys.readouterr().err
