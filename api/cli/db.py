"""`stretto db`: how the database stands, its next schema, and a copy of it."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path

import click

from .options import Place, as_json, place_options
from .tables import table

__all__ = ["db_group"]


@click.group("db")
def db_group() -> None:
    """Show how the database stands, bring it to this release's schema, and copy it."""


@db_group.command("status")
@as_json
@place_options
def status_command(place: Place, *, as_json: bool) -> None:
    """Show where the database is, its schema, size and rows; nothing is changed."""
    from ..upkeep import standing

    found = standing(place.database)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    rows = [
        ("provider", found.provider),
        ("place", found.place),
        ("schema version", "none yet" if found.version is None else str(found.version)),
        ("this release's", str(found.latest)),
        ("pending migrations", ", ".join(map(str, found.pending)) or "none"),
        ("size", f"{found.size_bytes / 2**20:.1f} MB"),
        *((f"rows of {name}", str(count)) for name, count in found.rows.items()),
    ]
    click.echo(table(("what", "value"), rows))


@db_group.command("upgrade")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@place_options
def upgrade_command(place: Place, *, yes: bool, as_json: bool) -> None:
    """Bring the database to this release's schema, while no server runs.

    `stretto serve` does it too, and so does every other command that opens it. A SQLite file is copied first, beside itself. On PostgreSQL all steps are one transaction; make a copy
    first with `stretto db backup`.
    """
    from stretto.host.errors import NotFoundError

    from ..migrations import LATEST, migrate, version_of

    database = place.database
    if isinstance(database, Path) and not database.is_file():
        raise NotFoundError(f"There is no database {database} yet; the first `stretto serve` makes it")
    with ExitStack() as stack:
        _alone(stack, place)
        found = version_of(database)
        if found < LATEST and not yes:
            kept = "it is copied first" if isinstance(database, Path) else "`stretto db backup` makes a copy"
            click.confirm(
                f"Bring {database} from schema version {found} to {LATEST} ({kept})?", abort=True, err=True
            )
        migrate(database)
    copy = f"{database}.v{found}" if isinstance(database, Path) and 0 < found < LATEST else None
    if as_json:
        click.echo(json.dumps({"before": found, "after": LATEST, "copy": copy}, indent=2))
    elif found == LATEST:
        click.echo(f"{database} has schema version {LATEST} already")
    else:
        click.echo(f"{database} has schema version {LATEST} now" + (f"; the copy is {copy}" if copy else ""))


@db_group.command("backup")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@as_json
@place_options
def backup_command(place: Place, *, file: Path | None, as_json: bool) -> None:
    """Copy the database to a new FILE, while a server may run.

    Without FILE the copy goes into backups/ of the data directory. A SQLite database becomes a file like it, and one on PostgreSQL what `pg_restore` reads. Images and
    models are not in it.
    """
    from ..upkeep import back_up, backup_name

    database = place.database
    target = file or place.folders.root / "backups" / backup_name(database)
    size = back_up(database, target)
    if as_json:
        click.echo(json.dumps({"file": str(target), "bytes": size}, indent=2))
        return
    click.echo(f"copied {database} to {target}, {size / 2**20:.1f} MB")


def _alone(stack: ExitStack, place: Place) -> None:
    from filelock import FileLock, Timeout
    from stretto.host.errors import StateConflictError

    from ..postgres import held_alone
    from ..serve import LOCK_NAME

    try:
        place.folders.root.mkdir(parents=True, exist_ok=True)
        stack.enter_context(FileLock(place.folders.root / LOCK_NAME, timeout=0))
    except Timeout as error:
        raise StateConflictError(
            f"a server runs on {place.folders.root}; stop it first, as its schema would change under it"
        ) from error
    if place.server is not None:
        stack.enter_context(held_alone(place.server))
