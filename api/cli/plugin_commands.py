"""`stretto NAME` of plugins: found when a name is none of the host's own, and given a place to work in.

Where there are no plugins but the built-in ones, which have no commands, none is imported.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from stretto.host.contracts.events import Event, Finished
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import PluginError, StrettoError
from stretto.host.settings import Settings

from .command_costs import costing
from .options import Place, place_options

if TYPE_CHECKING:
    from stretto.host.contracts.plan import Plan
    from stretto.host.contracts.routes import CommandSpec, Console
    from stretto.host.runtime.host import Host

__all__ = ["PlacedConsole", "PluginCommands", "blame", "find_commands", "open_command"]

DEBUG = "STRETTO_DEBUG"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCommands:
    """Commands by name and alias, each with its plugin; and what could not be asked, in words."""

    owners: Mapping[str, str] = field(default_factory=dict)
    specs: Mapping[str, CommandSpec] = field(default_factory=dict)
    unasked: tuple[str, ...] = ()

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Give a line for each command, for `stretto --help`."""
        return [
            (name, f"{spec.title} (plugin '{self.owners[name]}')".strip())
            for name, spec in sorted(self.specs.items())
            if name == spec.name
        ]


def find_commands(arguments: Sequence[str] = ()) -> PluginCommands:
    """Ask the plugins of the place that a command line names; a fault of theirs is words, not an error."""
    try:
        return _asked(_place_of(_placed(arguments)))
    except (StrettoError, OSError) as error:
        return PluginCommands(unasked=(f"Plugins could not be asked: {error}",))


def open_command(spec: CommandSpec, owner: str, ctx: click.Context) -> click.Command:
    """Build a command of the plugin `owner`, with options for its place and a Console in `ctx.obj`.

    Raises PluginError for what is no command, or has one of those options of its own.
    """
    command: object = spec.build()
    if not isinstance(command, click.Command):
        raise PluginError(
            f"the plugin '{owner}' has built {type(command).__name__} for its command '{spec.name}'; "
            "`build` gives a click command or group"
        )
    console = PlacedConsole()
    _take_options(command, console, owner)
    invoke = command.invoke

    def costed(within: click.Context) -> Any:
        with costing(owner, spec, lambda: console.place.folders.root):
            return invoke(within)

    command.invoke = costed  # type: ignore[method-assign,assignment]  # click calls it of this very object
    promised: Console = console
    ctx.obj = promised
    return command


def blame(owner: str, name: str, error: Exception) -> PluginError:
    """Say whose command failed; $STRETTO_DEBUG prints the traceback as well."""
    from stretto.host.plugboard.discover import reason

    shown = bool(os.environ.get(DEBUG))
    if shown:
        traceback.print_exception(error)
    more = "" if shown else f"; {DEBUG}=1 shows where"
    return PluginError(f"the plugin '{owner}' failed in its command '{name}': {reason(error)}{more}")


# asking


def _asked(place: Place) -> PluginCommands:
    from importlib.metadata import entry_points

    from stretto.host.plugboard.discover import GROUP
    from stretto.host.plugboard.switches import read_switches

    switches = read_switches(place.plugins_file, place.folders.root)
    if not switches.paths and not (switches.autoload and entry_points(group=GROUP)):
        return PluginCommands()
    from stretto.host.isolation.isolation import isolated
    from stretto.host.plugboard.board import Board
    from stretto.host.plugboard.guard import read_off
    from stretto.host.runtime.host import Host
    from stretto.host.runtime.limits import usable_ram_bytes

    # A host that is not opened makes no folders; it is what plugins see while they make their offers.
    view = Host(place.folders, Settings(), switches)
    # The isolated ones have no commands, and are known by name alone: no process is started for them.
    apart = isolated(switches, view, usable_ram_bytes).candidates()
    off = {**read_off(place.folders.root), **{one.found.name: "it is isolated" for one in apart}}
    with _unlogged(), closing(Board.open(switches, view, more=apart, off=off)) as board:
        registry = board.registry("commands")
        specs = {word: spec for name, spec in registry.items() for word in (name, *spec.aliases)}
        broken = (row for row in board.rows() if row.status == "broken")
        return PluginCommands(
            owners={word: registry.owner(word) for word in specs},
            specs=specs,
            unasked=tuple(
                f"The plugin '{row.name}' ({row.origin}) is broken: {row.reason}" for row in broken
            ),
        )


@contextmanager
def _unlogged() -> Iterator[None]:
    # what is broken is told where a command is missed, and where the host is opened
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


# the place


class PlacedConsole:
    """`ctx.obj` of a plugin's command: `stretto.host.Console` over the place that the command line names."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[bool, Any]] = {}
        self._open: Host | None = None

    def keep(self, name: str, value: object, *, said: bool) -> None:
        """Note an option; one that was `said` counts more than one of the environment, a later one than an earlier."""
        if value is not None and (said or not self._given.get(name, (False, None))[0]):
            self._given[name] = (said, value)

    @property
    def place(self) -> Place:
        """Give data directory, database and plugins file."""
        return _place_of({name: value for name, (_, value) in self._given.items()})

    @contextmanager
    def host(self) -> Iterator[Host]:
        """Open the host over the place, with the settings that are kept there; within itself, the same one."""
        from stretto.host.runtime.host import Host

        if self._open is not None:
            yield self._open
            return
        place = self.place
        with Host.open(place.folders, place.settings(), plugins_file=place.plugins_file) as host:
            self._open = host
            try:
                yield host
            finally:
                self._open = None

    def invoke(
        self, request: InvocationRequest, on_event: Callable[[Event], None] = lambda _event: None
    ) -> Finished:
        """Plan and draw in this process, stored models by their names too; raises StrettoError."""
        with self.host() as host:
            return host.run_here(self._planned(host, request), on_event)

    def _planned(self, host: Host, request: InvocationRequest) -> Plan:
        from ..stored import plan_request

        place = self.place
        if not place.has_database:
            return host.plan(request)
        with place.records() as records:
            return plan_request(host, records, request)


def _take_options(command: click.Command, console: PlacedConsole, owner: str) -> None:
    """Add the options of a place to a command and to what is below it, whose Console hears them."""
    taken = {word: param for param in command.params for word in (param.name, *param.opts)}

    def keep(ctx: click.Context, param: click.Parameter, value: object) -> object:
        name = str(param.name)
        console.keep(name, value, said=ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
        return value

    for option in _place_params():
        clash = next((word for word in (option.name, *option.opts) if word in taken), None)
        if clash is not None:
            raise PluginError(
                f"the plugin '{owner}' gives its command '{command.name}' the parameter '{clash}', which every "
                "command has; name it otherwise"
            )
        option.expose_value, option.callback = False, keep
        command.params.append(option)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _take_options(inner, console, owner)


def _identity(place: Place) -> Place:
    return place


def _place_of(given: Mapping[str, Any]) -> Place:
    """Give the place that the options of `place_options` mean."""
    names = [str(option.name) for option in _place_params()]
    return place_options(_identity)(**{name: given.get(name) for name in names})


def _place_params() -> list[click.Option]:
    made = click.command("place")(place_options(_identity))
    return [param for param in made.params if isinstance(param, click.Option)]


def _placed(arguments: Sequence[str]) -> dict[str, Any]:
    """Read the options of a place out of a command line of which no more is known yet."""
    reader = click.Command(
        "place",
        params=[*_place_params()],
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
    reader.params.append(click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED))
    for option in reader.params:
        if isinstance(option.type, click.Path):
            option.type = click.Path(path_type=Path)  # whether it is there is told by the command itself
    with reader.make_context("place", list(arguments), resilient_parsing=False) as ctx:
        return {name: value for name, value in ctx.params.items() if name != "rest"}
