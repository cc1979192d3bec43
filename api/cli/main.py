"""The `stretto` command: a group that imports a subcommand only when it is asked for."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click
from stretto.host.errors import BadRequestError, StrettoError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "cli", "main"]

# name -> where it stands ("module:attribute") and its line in `stretto --help`
COMMANDS = {
    "completion": (
        "completion:completion_command",
        "Print the script by which a shell completes commands, options and files on TAB.",
    ),
    "db": (
        "db:db_group",
        "Show how the database stands, bring it to this release's schema, and copy it.",
    ),
    "doctor": ("doctor:doctor_command", "Say what is here, what is not, and how to close each gap."),
    "engines": (
        "engines:engines_group",
        "Build, show, check, remove, export and import compiled engines; an ENGINE is named by its first digits.",
    ),
    "invoke": ("invoke:invoke_command", "Draw PROMPT in this process, no server needed."),
    "models": (
        "models:models_group",
        "Show which models there are and where they stand; keep some under names of their own.",
    ),
    "plugins": (
        "plugins:plugins_group",
        "Show which plugins there are, say which are on, and install, remove, begin and check them.",
    ),
    "users": ("users:users_group", "Say who may log in, and as what; a running server knows at once."),
    "serve": ("serve:serve_command", "Serve the JSON API until Ctrl-C or SIGTERM."),
    "settings": (
        "settings:settings_command",
        "Show the settings, and change them while no server runs on the same data.",
    ),
}

FAILED = 1
USAGE = 2
PLUGIN = "stretto.plugin"  # in a context's `meta`: whose command runs, and its name
STOPPED = 130  # 128 + SIGINT, as shells report it


class LazyGroup(click.Group):
    """A group over COMMANDS; `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in alphabetical order."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; one that the host has not may be a plugin's, of the place that `args` name."""
        name = args[0]
        if name in COMMANDS or not name[:1].isalnum() or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        if ctx.resilient_parsing:
            from .completion import completed_command

            return name, completed_command(name, args[1:], ctx), args[1:]
        from .plugin_commands import find_commands, open_command

        found = find_commands(args[1:])
        if name in found.specs:
            ctx.meta[PLUGIN] = (found.owners[name], name)
            return name, open_command(found.specs[name], found.owners[name], ctx), args[1:]
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError("\n".join([error.format_message(), *found.unasked]), ctx) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Give the commands and options that begin so; none of the host's commands is imported for it."""
        if incomplete[:1] and not incomplete[:1].isalnum():
            return click.Command.shell_complete(self, ctx, incomplete)
        from .completion import completed_names

        return list(completed_names({name: line for name, (_, line) in COMMANDS.items()}, incomplete))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what a plugin's raises names the plugin."""
        try:
            return super().invoke(ctx)
        except (StrettoError, BrokenPipeError, click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if PLUGIN not in ctx.meta:
                raise
            from .plugin_commands import blame

            owner, name = ctx.meta[PLUGIN]
            raise blame(owner, name, error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands from COMMANDS, and what plugins add to it."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])
        from .plugin_commands import find_commands

        found = find_commands()
        if found.lines:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(found.lines)
        for words in found.unasked:
            formatter.write_paragraph()
            formatter.write_text(words)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stretto", message="%(prog)s %(version)s")
def cli() -> None:
    """Stretto, an engine host for image diffusion.

    Exit status: 0 done, 1 failed (the reason is on stderr), 2 usage, 130 stopped by Ctrl-C.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit status; the one place where errors become words."""
    with _ctrl_c() as pressed:
        try:
            return _status(arguments)
        except StrettoError as error:
            if not pressed:
                click.echo(f"stretto: {type(error).title}: {error}", err=True)
                return USAGE if isinstance(error, BadRequestError) else FAILED
        except OSError as error:  # a full disk, a folder that may not be written
            if not pressed:
                click.echo(f"stretto: {type(error).__name__}: {error}", err=True)
                return FAILED
        except Exception:
            if not pressed:
                raise
    click.echo("stretto: stopped", err=True)
    return STOPPED


def _status(arguments: Sequence[str] | None) -> int:
    try:
        status = cli.main(args=arguments, prog_name="stretto", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stretto: stopped", err=True)
        return STOPPED
    return status if isinstance(status, int) else 0


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Note each Ctrl-C: where a module is being imported, KeyboardInterrupt may come out as another error."""
    pressed: list[int] = []
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return

    def note(number: int, _frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its status."""
    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
