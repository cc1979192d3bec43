"""What a command promises: a line for people, help for every option, and `--help` that runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ...contracts.routes import CommandSpec
from ...errors import PluginError
from ...plugboard.offer_rules import check_offer
from .every_kind import built_twice
from .report import BreachError, Checks
from .supplies import Supplies

if TYPE_CHECKING:
    import click

__all__ = ["check_command"]


def check_command(spec: CommandSpec, checks: Checks, _supplies: Supplies) -> None:
    """Check its words, then the click command that it builds and all below it."""
    checks.run("the host takes it", partial(_check_taken, spec))
    checks.run("it is documented", partial(_check_title, spec))
    command = built_twice(checks, spec.build)
    if command is None:
        return
    checks.run(
        "commands, options and arguments are documented", partial(_check_documented, spec.name, command)
    )
    checks.run("--help runs", partial(_check_help, spec.name, command))
    checks.run("errors are click's or ours", partial(_check_usage, spec.name, command))


def _check_taken(spec: CommandSpec) -> None:
    try:
        check_offer(spec)
    except PluginError as error:
        raise BreachError(str(error)) from error


def _check_title(spec: CommandSpec) -> None:
    if not spec.title.strip():
        raise BreachError("`title` is empty; it is the command's line in `stretto --help`")


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    import click

    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(f"{path} {name}", inner)


def _check_documented(name: str, command: click.Command) -> None:
    import click

    for path, one in _commands(name, command):
        if not (one.help or "").strip():
            raise BreachError(f"`stretto {path}` has no help; write a docstring under its function")
        for parameter in one.params:
            if (
                isinstance(parameter, click.Option)
                and not parameter.hidden
                and not (parameter.help or "").strip()
            ):
                raise BreachError(f"`stretto {path}` has an option {parameter.opts[0]} without help=...")


def _check_help(name: str, command: click.Command) -> None:
    from click.testing import CliRunner

    for path, one in _commands(name, command):
        result = CliRunner().invoke(one, ["--help"])
        if result.exit_code != 0:
            raise BreachError(
                f"`stretto {path} --help` exits with {result.exit_code}: {result.output or result.exception}"
            )


def _check_usage(name: str, command: click.Command) -> None:
    from click.testing import CliRunner

    for path, one in _commands(name, command):
        result = CliRunner().invoke(one, ["--no-such-option"])
        if result.exit_code != 2 or "--no-such-option" not in result.output:  # noqa: PLR2004 - click's code for usage
            raise BreachError(
                f"`stretto {path} --no-such-option` exits with {result.exit_code}; leave unknown options to click"
            )
