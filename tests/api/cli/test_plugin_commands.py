"""`stretto NAME` of plugins: found, placed, listed and blamed; without plugins nobody is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from stretto.api.cli.main import COMMANDS, run
from stretto.host.plugboard.guard import switch_off
from stretto.host.plugboard.reserved import OWN_COMMANDS
from stretto.host.plugboard.totals import read_totals

BINARY = Path(sys.executable).with_name("stretto")
PALETTE = '''
"""Draws in one colour."""
import click
from stretto.host import CommandSpec, InvocationRequest, hookimpl
from stretto.host.errors import BadRequestError


def build():
    @click.group("palette")
    def palette():
        """Draw in one colour."""

    @palette.command("draw")
    @click.argument("colour")
    @click.option("--model", default=None)
    @click.pass_obj
    def draw(console, colour, model):
        """Draw a circle of COLOUR."""
        heard = []
        request = InvocationRequest(
            prompt=f"a {colour} circle", model=model, width=64, height=64, num_inference_steps=2, intermediates=False
        )
        with console.host() as host:
            done = console.invoke(request, heard.append)
            click.echo(str(host.folders.images / done.images[0]))
        click.echo(" ".join(type(event).__name__ for event in heard))

    @palette.command("where")
    @click.pass_obj
    def where(console):
        with console.host() as host, console.host() as again:
            click.echo(f"{host.folders.root} {host.settings.cache_mode} {again is host}")

    @palette.command("fail")
    @click.argument("how")
    @click.pass_context
    def fail(ctx, how):
        if how == "ours":
            raise BadRequestError("no such colour; say red")
        if how == "usage":
            raise click.UsageError("say red")
        if how == "exit":
            ctx.exit(7)
        if how == "file":
            open("/nowhere/at/all")
        raise ValueError("no such colour")

    return palette


@hookimpl
def register_commands(host):
    return [CommandSpec(name="palette", title="Draw in one colour.", build=build, aliases=("pal",))]
'''
ONE = """
import click
from stretto.host import CommandSpec, hookimpl

{body}

@hookimpl
def register_commands(host):
    return [CommandSpec(name="{name}", build=build)]
"""


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Work in an empty folder, and give what writes a plugin and names it in plugins.toml there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    for name in ("STRETTO_PLUGINS", "STRETTO_DEBUG", "STRETTO_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    paths: list[str] = []

    def plugged(name: str, source: str, file: str = "plugins.toml") -> Path:
        (tmp_path / f"{name}.py").write_text(source)
        paths.append(f"{name}.py")
        (tmp_path / file).write_text(f"[host]\nautoload = false\npaths = {paths}\n")
        return tmp_path / file

    return plugged


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 0
    return capsys.readouterr().out


def failed(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert run(arguments) == status
    return capsys.readouterr().err


def test_a_command_draws_in_its_place_by_stored_models_too(plug, tmp_path, capsys):
    plug("palette", PALETTE)
    place = ("--data-dir", "elsewhere")
    said(capsys, "models", "add", "mine", "--checkpoint", "starter", "--set", "prompt=bright", *place)
    picture, events = said(capsys, "palette", "draw", "red", "--model", "mine", *place).splitlines()
    assert Path(picture).is_relative_to(tmp_path / "elsewhere")
    with Image.open(picture) as image:
        plan = " ".join(str(value) for value in image.info.values())
    assert "the stored model 'mine' gave model" in plan
    assert events.startswith("Started ")
    assert events.endswith(" Finished")
    assert not (tmp_path / "data").exists()


def test_the_place_may_be_said_before_and_after_a_subcommand(plug, tmp_path, capsys, monkeypatch):
    file = plug("palette", PALETTE, "mine.toml")
    where = ("palette", "where")
    words = said(capsys, *where, "--plugins", str(file), "--data-dir", "a").split()
    assert words == [str(tmp_path / "a"), "xl", "True"]
    assert said(capsys, "palette", f"--plugins={file}", "--data-dir", "b", "where").split()[0] == str(
        tmp_path / "b"
    )
    monkeypatch.setenv("STRETTO_PLUGINS", str(file))
    assert said(capsys, *where).split()[0] == str(tmp_path / "data")
    # what was said counts more than the environment, and the last word more than the first
    assert said(capsys, "palette", "--data-dir", "b", "where").split()[0] == str(tmp_path / "b")
    assert said(capsys, "palette", "--data-dir", "b", "where", "--data-dir", "c").split()[0] == str(
        tmp_path / "c"
    )
    assert said(capsys, "pal", "where").split()[0] == str(tmp_path / "data")


def test_a_command_works_with_the_settings_that_are_kept(plug, capsys):
    plug("palette", PALETTE)
    said(capsys, "settings", "--set", "cache_mode=null")
    assert said(capsys, "palette", "where").split()[1] == "None"


def test_help_has_a_heading_for_them_and_makes_nothing(plug, tmp_path, capsys):
    plug("palette", PALETTE)
    text = said(capsys, "--help")
    assert "Commands of plugins:\n  palette  Draw in one colour. (plugin 'palette')\n" in text
    assert "pal " not in text
    assert not (tmp_path / "data").exists()
    shown = said(capsys, "palette", "--help")
    assert "Draw in one colour." in shown
    assert "--data-dir" in shown
    assert "--engine-dir" in said(capsys, "palette", "draw", "--help")


def test_without_plugins_there_is_no_heading_and_no_host_is_imported(tmp_path):
    (tmp_path / "plugins.toml").write_text("[host]\nautoload = false\n")
    code = (
        "import json, sys\nfrom stretto.api.cli.main import run\n"
        "assert run(['--help']) == 0\nassert run(['nothing']) == 2\nprint(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "Commands of plugins" not in done.stdout
    assert "stretto.api.cli.plugin_commands" in imported
    assert not {"stretto.host.runtime.host", "stretto.host.plugboard.board"} & imported
    assert not any(name.startswith("stretto.plugins") for name in imported)


def test_the_hosts_own_commands_never_ask_plugins(plug, capsys):
    plug("touching", "from pathlib import Path\nPath('touched').touch()\n")
    for arguments in (["settings"], ["invoke", "--help"], ["plugins", "--help"]):
        said(capsys, *arguments)
    assert not Path("touched").exists()
    said(capsys, "--help")
    assert Path("touched").exists()


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("ours", 2, "stretto: BadRequestError: no such colour; say red\n"),
        ("usage", 2, "Error: say red\n"),
        ("exit", 7, ""),
        (
            "file",
            1,
            (
                "stretto: PluginError: the plugin 'palette' failed in its command 'palette': FileNotFoundError: "
                "[Errno 2] No such file or directory: '/nowhere/at/all'; STRETTO_DEBUG=1 shows where\n"
            ),
        ),
        (
            "else",
            1,
            (
                "stretto: PluginError: the plugin 'palette' failed in its command 'palette': ValueError: "
                "no such colour; STRETTO_DEBUG=1 shows where\n"
            ),
        ),
    ],
)
def test_what_a_command_raises_is_said_in_a_line(plug, capsys, how, status, words):
    plug("palette", PALETTE)
    text = failed(capsys, status, "palette", "fail", how)
    assert text.endswith(words)
    assert "Traceback" not in text


def test_the_traceback_is_there_for_who_asks(plug, capsys, monkeypatch):
    plug("palette", PALETTE)
    monkeypatch.setenv("STRETTO_DEBUG", "1")
    text = failed(capsys, 1, "palette", "fail", "else")
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("the plugin 'palette' failed in its command 'palette': ValueError: no such colour\n")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "def build():\n    return print",
            "has built builtin_function_or_method for its command 'odd'; `build` gives",
        ),
        ("def build():\n    1 / 0", "failed in its command 'odd': ZeroDivisionError: division by zero"),
        (
            "@click.command()\n@click.option('--plugins')\ndef odd(plugins):\n    pass\n\ndef build():\n    return odd",
            "gives its command 'odd' the parameter '--plugins', which every command has; name it otherwise",
        ),
    ],
)
def test_a_command_that_cannot_be_built_names_its_plugin(plug, capsys, body, words):
    plug("owner", ONE.format(name="odd", body=body))
    text = failed(capsys, 1, "odd")
    assert text.startswith("stretto: PluginError: the plugin 'owner' ")
    assert words in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("serve", "it offers the command 'serve', which is the host's own; give it another name"),
        ("Odd One", "it offers the command 'Odd One'; a command is lower-case letters, digits and hyphens"),
    ],
)
def test_a_name_that_cannot_be_a_command_makes_its_plugin_a_row_with_the_reason(plug, capsys, name, words):
    plug("owner", ONE.format(name=name, body="def build():\n    pass"))
    rows = {row["name"]: row for row in json.loads(said(capsys, "plugins", "list", "--json"))}
    assert (rows["owner"]["status"], rows["owner"]["reason"]) == ("broken", words)
    assert "owner" not in said(capsys, "serve", "--help")


def test_a_broken_plugin_breaks_nothing_and_is_told_of_where_a_command_is_missed(plug, tmp_path, capsys):
    plug("palette", PALETTE)
    plug("bad", "import nothing_of_that_name\n")
    broken = f"The plugin 'bad' (file {tmp_path / 'bad.py'}) is broken: ModuleNotFoundError: "
    text = "".join(said(capsys, "--help").split())  # its lines are wrapped
    assert "paletteDrawinonecolour." in text
    assert "".join(broken.split()) in text
    assert said(capsys, "palette", "where")
    said_of_it = f"Error: No such command 'bad'.\n{broken}No module named 'nothing_of_that_name'"
    assert said_of_it in failed(capsys, 2, "bad")


def test_plugins_that_cannot_be_asked_leave_the_hosts_own_commands(plug, tmp_path, capsys):
    for name in ("ann", "bob"):
        plug(name, ONE.format(name="odd", body="def build():\n    pass"))
    text = failed(capsys, 2, "odd")
    assert "Error: No such command 'odd'.\nPlugins could not be asked: the plugins 'ann' " in text
    assert "both offer the command 'odd'" in text
    shown = " ".join(said(capsys, "--help").split())
    assert "Plugins could not be asked: the plugins 'ann' " in shown
    assert " invoke Draw PROMPT in this process" in shown
    (tmp_path / "plugins.toml").write_text("[hosts]\n")
    assert "Plugins could not be asked: " in said(capsys, "--help")
    assert "Error: No such command '-'" not in failed(capsys, 2, "--nothing")


def test_isolated_plugins_are_known_and_not_asked(plug, capsys):
    file = plug("palette", PALETTE)
    with file.open("a") as table:
        table.write("[plugins.apart]\nisolated = true\n")
    text = said(capsys, "--help")
    assert "palette  Draw in one colour. (plugin 'palette')" in text
    assert "asked" not in text
    assert "broken" not in text


def test_a_plugin_that_was_switched_off_for_its_failures_has_no_command(plug, tmp_path, capsys):
    plug("palette", PALETTE)
    (tmp_path / "data").mkdir()
    switch_off(tmp_path / "data", "palette", 3, "ValueError: no such colour")
    assert "palette" not in said(capsys, "--help")
    assert "No such command 'palette'" in failed(capsys, 2, "palette")
    assert said(capsys, "palette", "where", "--data-dir", "other")


def test_the_built_in_plugins_have_no_commands_as_nobody_would_ask_them(plug, capsys):
    rows = json.loads(said(capsys, "plugins", "list", "--json"))
    assert len(rows) > 10
    assert not [row["name"] for row in rows if row["origin"] == "built-in" and "commands" in row["offers"]]


def test_the_names_that_are_kept_from_plugins_are_the_hosts():
    assert set(COMMANDS) == OWN_COMMANDS, "name a new command in host/plugboard/reserved.py"


def test_an_installed_plugin_has_its_command(tmp_path):
    """As a package would be: an entry point that the interpreter finds on its path."""
    about = tmp_path / "lib" / "stretto_palette-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stretto-palette\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[stretto]\npalette = palette_plugin\n")
    (tmp_path / "lib" / "palette_plugin.py").write_text(PALETTE)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "lib"), os.environ.get("PYTHONPATH")])),
        "STRETTO_DATA_DIR": str(tmp_path / "data"),
    }
    environment.pop("STRETTO_PLUGINS", None)

    def lines(*arguments: str) -> str:
        return subprocess.run(
            [BINARY, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert "palette  Draw in one colour. (plugin 'palette')" in lines("--help")
    assert lines("palette", "where").startswith(str(tmp_path / "data"))


COSTLY = """
import click
from stretto.host import CommandSpec, errors, hookimpl


def build():
    @click.command()
    @click.argument("how")
    def costly(how):
        if how != "good":
            raise {**vars(errors), "KeyError": KeyError}[how]("not so")

    return costly


@hookimpl
def register_commands(host):
    return [CommandSpec(name="costly", build=build)]
"""


def test_what_commands_take_is_added_to_what_their_plugin_costs(plug, tmp_path, capsys):
    plug("costly", COSTLY)
    said(capsys, "costly", "good")
    assert not (tmp_path / "data").exists()  # which a command alone does not make
    (tmp_path / "data").mkdir()
    said(capsys, "costly", "good")
    assert failed(capsys, 2, "costly", "BadRequestError").startswith("stretto: BadRequestError: not so")
    assert "the plugin 'costly' failed in its command 'costly': KeyError" in failed(
        capsys, 1, "costly", "KeyError"
    )
    words = "stretto: WeightsError: the plugin 'costly' raised in its command 'costly': WeightsError: not so"
    assert failed(capsys, 1, "costly", "WeightsError").startswith(words)
    (row,) = read_totals(tmp_path / "data", "costly")
    assert (row.hook, row.calls, row.failures) == ("command", 4, 2)
    assert row.last == "its command 'costly' raised WeightsError: not so"
