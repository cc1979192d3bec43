"""Who may be switched: what the administrator says of plugins, held against what there is, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BadRequestError, NotFoundError, PluginClashError, StateConflictError, did_you_mean
from ..isolation.isolation import isolated
from ..plugboard.alterations import Alteration, altered, mentions, sole_writer, write_text
from ..plugboard.board import Board
from ..plugboard.discover import Found, named
from ..plugboard.guard import enabling
from ..plugboard.settling import TURN_OFF
from ..plugboard.switches import Switches, read_switches
from ..settings import Folders, Settings
from .host import Host
from .limits import usable_ram_bytes

__all__ = ["check_on", "find", "refuse", "refused_clash", "switch"]


def find(folders: Folders, switches: Switches) -> tuple[Found, ...]:
    """Give what is known of every plugin without importing any: built-in, isolated, packages, files."""
    view = Host(folders, Settings(), switches)
    return named(switches, view.version, isolated(switches, view, usable_ram_bytes).candidates())


def refuse(alteration: Alteration, switches: Switches, found: Iterable[Found]) -> None:
    """Refuse what cannot be: NotFoundError for a plugin that is not there, StateConflictError for one that must stay.

    Raises BadRequestError for an order that has a plugin twice.
    """
    there = {one.name: one for one in found}
    order = alteration.order or ()
    for name in (*alteration.enable, *alteration.disable, *order, *alteration.settings):
        if name not in there:
            raise NotFoundError(_unknown(name, switches, tuple(there)))
    twice = [name for name in order if list(order).count(name) > 1]
    if twice:
        raise BadRequestError(f"the order has '{twice[0]}' twice; name each plugin once")
    for name in alteration.disable:
        if name in switches.require:
            raise StateConflictError(
                f"{switches.source} requires the plugin '{name}'; take it out of `require` there, and then disable it"
            )
    for name in alteration.enable:
        if there[name].rank == 1 and not switches.autoload and not there[name].origin.startswith("isolated"):
            raise StateConflictError(
                f"[host] autoload is false in {switches.source}, so no package's plugin is on, nor can '{name}' be; "
                "take that line out, and disable the plugins that you do not want"
            )


def check_on(board: Board, names: Iterable[str]) -> None:
    """Raise StateConflictError for a plugin that is not on, with the reason."""
    rows = {row.name: row for row in reversed(board.rows())}
    for name in names:
        row = rows[name]
        if row.status != "on":
            raise StateConflictError(f"the plugin '{name}' cannot be on: it is {row.status}, {row.reason}")


@contextmanager
def refused_clash() -> Iterator[None]:
    """Say of a clash that nothing was changed, as a StateConflictError."""
    try:
        yield
    except PluginClashError as error:
        clash = str(error).partition(TURN_OFF)[0]
        raise StateConflictError(
            f"{clash}; disable the one that you do not want first (nothing was changed)"
        ) from error


def switch(folders: Folders, plugins_file: Path | None, alteration: Alteration) -> Path | None:
    """Write an alteration into the plugins file that is in force, and give it; None where it says all that already.

    What is enabled must come up, in this process, without a clash. Raises as `refuse`, `check_on` and
    `Host.open` do, and then nothing is written.
    """
    with sole_writer(folders.root):
        switches = read_switches(plugins_file, folders.root)
        refuse(alteration, switches, find(folders, switches))
        text, wanted = altered(switches, alteration)
        with enabling(folders.root, alteration.enable):
            if alteration.enable or alteration.settings:
                with refused_clash(), Host.open(folders, Settings(), switches=wanted) as host:
                    check_on(host.board, alteration.enable)
            if wanted == switches:
                return None
            return write_text(wanted, text)


def _unknown(name: str, switches: Switches, known: tuple[str, ...]) -> str:
    said = f"there is no plugin '{name}'; {did_you_mean(name, known)}"
    if not mentions(switches, name):
        return said
    return f"{said} {switches.source} names it: `stretto plugins remove {name}` takes that out"
