"""`stretto completion`: what a shell completes on TAB, the commands of plugins and their options as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import click
from click.shell_completion import CompletionItem, get_completion_class

__all__ = ["completed_command", "completed_names", "completion_command"]

VARIABLE = "_STRETTO_COMPLETE"  # the one that click goes by
SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script by which a shell completes commands, options and files on TAB.

    \b
    bash:  eval "$(stretto completion bash)"        in ~/.bashrc
    zsh:   eval "$(stretto completion zsh)"         in ~/.zshrc, after compinit
    fish:  stretto completion fish | source         in ~/.config/fish/config.fish

    The commands are asked for at each TAB, so those of plugins need not be told to the shell again.
    """  # noqa: D301 - click's mark for lines that stay as they are
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click knows these three
    click.echo(kind(ctx.find_root().command, {}, "stretto", VARIABLE).source())


def completed_names(own: Mapping[str, str], incomplete: str) -> list[CompletionItem[str]]:
    """Give the commands that begin so, by name with a line about each, those of plugins behind the host's `own`."""
    from .plugin_commands import find_commands

    with _unheard():
        lines = find_commands().lines
    names = [*sorted(own.items()), *lines]
    return [CompletionItem(name, help=line) for name, line in names if name.startswith(incomplete)]


def completed_command(name: str, arguments: Sequence[str], ctx: click.Context) -> click.Command:
    """Give a plugin's command whose options are to be completed; one without any where there is none that works.

    What is wrong with it is told when it is run: here nobody could read it.
    """
    from .plugin_commands import find_commands, open_command

    with _unheard():
        try:
            try:
                found = find_commands(arguments)
            except click.UsageError:  # the value of the last option is what is being completed
                found = find_commands(arguments[:-1])
            if name in found.specs:
                return open_command(found.specs[name], found.owners[name], ctx)
        except Exception:  # noqa: BLE001, S110 - a plugin's; its command's own run will say it
            pass
    return click.Command(name, add_help_option=False)


@contextmanager
def _unheard() -> Iterator[None]:
    # what plugins print would be taken for words to complete
    with redirect_stdout(StringIO()):
        yield
