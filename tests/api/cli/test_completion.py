"""What is completed on TAB: the host's commands, those of plugins, and the options of both."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from stretto.api.cli.main import COMMANDS, cli, run

BINARY = Path(sys.executable).with_name("stretto")
LOUD = '''
import click
from stretto.host import CommandSpec, hookimpl

print("no word to complete")


def build():
    print("nor this")

    @click.group("palette")
    def palette():
        """Draw in one colour."""

    @palette.command("draw")
    @click.option("--shade", type=click.Choice(["dark", "light"]))
    @click.option("--file", type=click.Path())
    def draw(shade, file):
        raise AssertionError("nothing is run")

    return palette


def broken():
    raise RuntimeError("not to be built")


@hookimpl
def register_commands(host):
    return [
        CommandSpec(name="palette", title="Draw in one colour.", build=build, aliases=("pal",)),
        CommandSpec(name="passing", build=broken),
    ]
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("STRETTO_PLUGINS", "STRETTO_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "loud.py").write_text(LOUD)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    (tmp_path / "plugins.toml").write_text('[host]\nautoload = false\npaths = ["loud.py", "bad.py"]\n')
    return tmp_path


@pytest.fixture
def completed(place: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    def complete(*words: str) -> list[str]:
        found = ShellComplete(cli, {}, "stretto", "_STRETTO_COMPLETE").get_completions(
            [*words[:-1]], words[-1]
        )
        assert capfd.readouterr() == ("", "")
        return [item.value if item.type == "plain" else item.type for item in found]

    return complete


def test_names_of_commands_are_completed(completed: Callable[..., list[str]], place: Path) -> None:
    assert completed("") == [*sorted(COMMANDS), "palette", "passing"]
    assert completed("p") == ["plugins", "palette", "passing"]
    assert completed("xyz") == []
    assert completed("--v") == ["--version"]
    assert completed("plugins", "in") == ["install"]
    assert not (place / "data").exists()


def test_commands_of_plugins_are_completed_with_their_options(
    completed: Callable[..., list[str]], place: Path
) -> None:
    assert completed("palette", "") == ["draw"]
    assert completed("pal", "dr") == ["draw"]
    for words in (("palette", "draw"), ("palette", "--data-dir", "elsewhere", "draw")):
        assert completed(*words, "--") == [
            "--shade", "--file", "--data-dir", "--database", "--plugins", "--engine-dir", "--help",
        ]  # fmt: skip
    assert completed("palette", "draw", "--shade", "l") == ["light"]
    assert completed("palette", "draw", "--file", "") == ["file"]
    assert completed("palette", "draw", "--plugins", "") == ["file"]
    (place / "plugins.toml").rename(place / "mine.toml")
    assert completed("palette", "") == []
    assert completed("palette", "--plugins", "mine.toml", "") == ["draw"]
    assert not (place / "data").exists()


def test_what_is_wrong_says_nothing_until_it_is_run(
    completed: Callable[..., list[str]], place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert completed("passing", "--") == []
    assert completed("nothing", "--") == []
    assert run(["passing"]) == 1
    assert "the plugin 'loud' failed in its command 'passing': RuntimeError" in capfd.readouterr().err
    (place / "plugins.toml").write_text("[hst]\n")
    assert completed("p") == ["plugins"]


def test_the_scripts_are_clicks(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert run(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert f"_STRETTO_COMPLETE={shell}_complete" in script
        assert "_stretto_completion" in script
    assert run(["completion", "tcsh"]) == 2


def test_bash_completes_a_plugins_command(place: Path) -> None:
    tab = f"""
        eval "$({BINARY} completion bash)"
        complete -p stretto
        for words in "stretto pal" "stretto palette draw --sh"; do
            COMP_WORDS=($words); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
            _stretto_completion {BINARY}
            echo "${{COMPREPLY[@]}}"
        done
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", tab], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _stretto_completion stretto",
        "palette",
        "--shade",
    ]
    assert done.stderr == ""


def test_it_is_quick_and_imports_nothing_heavy(place: Path) -> None:
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n"
        "from stretto.api.cli.main import main\nmain()"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for words, found in (("stretto pal", "plain,palette"), ("stretto palette draw --sh", "plain,--shade")):
        asked = {
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "_STRETTO_COMPLETE": "bash_complete",
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=True,
            timeout=60,
        )  # fmt: skip
        first, *_, modules = done.stdout.splitlines()
        assert first == found
        assert {"torch", "diffusers", "pydantic", "pony", "PIL", "numpy"} & set(json.loads(modules)) == set()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 2 * 0.5
