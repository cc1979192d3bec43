"""`stretto settings`: the settings that a server keeps, shown and changed while none runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .assignments import Assignment
from .options import Place, as_json, place_options
from .tables import table

if TYPE_CHECKING:
    from stretto.host.settings import Settings

__all__ = ["settings_command"]


def _names() -> tuple[Collection[str], Sequence[str]]:
    from ..settings_store import NAMES

    return NAMES, NAMES


@click.command("settings")
@click.option(
    "--set",
    "changes",
    type=Assignment("setting", "safe=false", _names),
    multiple=True,
    help="Change a setting, for example --set safe=false --set switch_mode=null. May be given many times.",
)
@as_json
@place_options
def settings_command(place: Place, *, changes: tuple[tuple[str, Any], ...], as_json: bool) -> None:
    """Show the settings, and change them while no server runs on the same data.

    A running server takes changes by POST /api/settings.
    """
    settings = _changed(place, dict(changes)) if changes else place.settings()
    if as_json:
        click.echo(json.dumps(asdict(settings), indent=2))
        return
    click.echo(table(("setting", "value"), [(name, json.dumps(v)) for name, v in asdict(settings).items()]))


def _changed(place: Place, changes: dict[str, Any]) -> Settings:
    from filelock import FileLock, Timeout
    from stretto.host.errors import ConfigurationError
    from stretto.host.runtime.host import Host
    from stretto.host.settings import Settings

    from ..misfits import find_misfits
    from ..postgres import held_alone
    from ..serve import LOCK_NAME
    from ..settings_store import SettingsStore

    root = place.folders.root
    root.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            stack.enter_context(FileLock(root / LOCK_NAME, timeout=0))
            if place.server is not None:
                stack.enter_context(held_alone(place.server))
            records = stack.enter_context(place.records())
            host = stack.enter_context(Host.open(place.folders, Settings(), plugins_file=place.plugins_file))
            return SettingsStore(records).change(
                changes, misfits=lambda given: find_misfits(host, records, given)
            )
    except Timeout as error:
        raise ConfigurationError(
            f"a server runs on {root}; change its settings by POST /api/settings, or stop it first"
        ) from error
