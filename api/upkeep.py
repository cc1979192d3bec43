"""What an administrator asks of the database: how it stands, its next schema, and a copy of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stretto.host.errors import ConfigurationError, NotFoundError, StateConflictError

from .migrations import LATEST, unusable, version_of
from .postgres import PostgresServer

__all__ = ["Standing", "back_up", "backup_name", "standing"]

DEBIANS = Path("/usr/lib/postgresql")  # a folder a version, not on the search path


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a database stands; without one `version` is None, and an empty one has version 0."""

    provider: str
    place: str
    version: int | None
    latest: int
    pending: tuple[int, ...]
    size_bytes: int
    rows: dict[str, int]


def standing(place: Path | PostgresServer) -> Standing:
    """Look at a database without a change to it; raises ConfigurationError when it cannot be used."""
    here = not isinstance(place, Path) or place.is_file()
    version = version_of(place) if here else None
    size, rows = _measured(place) if here else (0, {})
    return Standing(
        provider="sqlite" if isinstance(place, Path) else "postgres",
        place=str(place),
        version=version,
        latest=LATEST,
        pending=tuple(range((version or 0) + 1, LATEST + 1)),
        size_bytes=size,
        rows=rows,
    )


def backup_name(place: Path | PostgresServer) -> str:
    """Give the name of a copy that is made now (UTC); pg_restore reads those that end in .dump."""
    return time.strftime(
        f"stretto-%Y%m%d-%H%M%SZ.{'db' if isinstance(place, Path) else 'dump'}", time.gmtime()
    )


def back_up(place: Path | PostgresServer, target: Path) -> int:
    """Copy a database, which may be in use, into a new file that its owner alone reads; give its bytes.

    Raises StateConflictError when the file exists, NotFoundError without a database, and
    ConfigurationError when the database cannot be read or pg_dump is not installed.
    """
    if isinstance(place, Path) and not place.is_file():
        raise NotFoundError(f"There is no database {place} yet; the first `stretto serve` makes it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _new_file(target) as part:
        if isinstance(place, Path):
            _copy_file(place, part)
        else:
            _dump(place, part)
    return target.stat().st_size


def _measured(place: Path | PostgresServer) -> tuple[int, dict[str, int]]:
    if isinstance(place, Path):
        try:
            with closing(
                sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
            ) as connection:
                return _file_bytes(place), _counts(
                    connection.cursor(),
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
                )
        except sqlite3.DatabaseError as error:
            raise unusable(place, error) from error
    import psycopg2

    try:
        with closing(place.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            size = int(cursor.fetchone()[0])
            return size, _counts(
                cursor, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            )
    except psycopg2.Error as error:
        raise unusable(place, error) from error


def _counts(cursor: Any, tables: str) -> dict[str, int]:
    cursor.execute(tables)
    found = {}
    for name in sorted(row[0] for row in cursor.fetchall()):
        cursor.execute(f'SELECT COUNT(*) FROM "{name}"')  # noqa: S608  # a table's own name
        found[name] = int(cursor.fetchone()[0])
    found.pop("schema_version", None)
    return found


def _file_bytes(file: Path) -> int:
    """Count the file and the journal beside it."""
    beside = [file, file.with_name(f"{file.name}-wal")]
    return sum(path.stat().st_size for path in beside if path.exists())


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Give a file to be filled, which becomes `target` when all went well; nothing is overwritten."""
    taken = StateConflictError(f"The file {target} exists; name another one, as no copy is overwritten")
    if os.path.lexists(target):
        raise taken
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(part, target)  # unlike a rename, refuses where somebody else made it meanwhile
        except FileExistsError as error:
            raise taken from error
        except OSError as error:  # a drive without links, as exFAT is
            if os.path.lexists(target):
                raise taken from error
            part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _copy_file(source: Path, part: Path) -> None:
    # https://www.sqlite.org/backup.html: as of one moment, while others write
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as before,
            closing(sqlite3.connect(part)) as copy,
        ):
            before.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with no journal beside it
            verdict = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise unusable(source, error) from error
    if verdict != "ok":
        raise unusable(source, sqlite3.DatabaseError(verdict))


def _dump(server: PostgresServer, part: Path) -> None:
    from psycopg2.extensions import make_dsn

    server.connect().close()  # says better than pg_dump what is wrong
    known = dict(server.parameters)
    secret = {"PGPASSWORD": known.pop("password")} if "password" in known else {}
    command = [_pg_dump(), "--format=custom", f"--file={part}", f"--dbname={make_dsn(**known)}"]
    done = subprocess.run(  # noqa: S603  # its own path and ours
        command, env={**os.environ, **secret}, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise ConfigurationError(
            f"pg_dump could not copy {server} ({' '.join(done.stderr.split())}); where it says that versions "
            "do not fit, install the client of the server's version"
        )


def _pg_dump() -> str:
    found = sorted(DEBIANS.glob("*/bin/pg_dump"), key=lambda file: float(file.parents[1].name))
    path = str(found[-1]) if found else shutil.which("pg_dump")
    if path is None:
        raise ConfigurationError(
            "Copying a PostgreSQL database takes pg_dump, which is not installed "
            "(Debian: sudo apt install postgresql-client)"
        )
    return path
