"""Migrations of a SQLite file: each step is one transaction, after a copy of what was there."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from stretto.host.errors import ConfigurationError

from .schema import SQLITE, Schema

__all__ = ["migrate_file", "unusable", "version_of_file"]

_log = logging.getLogger(__name__)


def migrate_file(path: Path, steps: Mapping[int, Callable[[Schema], None]]) -> int:
    """Bring a file to the last step and give the version that it had; 0 for a new file.

    A file that holds data is copied to `<name>.v<version>` first.
    """
    latest = max(steps)
    with closing(_connected(path)) as connection:
        found = _version(connection, path)
        if found > latest:
            raise ConfigurationError(
                f"The database {path} has schema version {found}; this release reads up to {latest}. "
                "Use the newer release, or another data directory."
            )
        if 0 < found < latest:
            copy = path.with_name(f"{path.name}.v{found}")
            _copy(connection, copy)
            _log.warning(
                "%s is brought from schema version %d to %d; a copy is %s", path, found, latest, copy
            )
        for version in range(found + 1, latest + 1):
            _step(connection, version, steps[version])
    return found


def version_of_file(path: Path) -> int:
    """Give the version of a file that is there, without a change to it."""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> ConfigurationError:
    """Say that a file cannot be used, in the words of its library."""
    return ConfigurationError(
        f"The file {path} is not a usable database ({error}). Move it away, or use another data directory."
    )


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=30, isolation_level=None)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def _version(connection: sqlite3.Connection, path: Path) -> int:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)


def _step(connection: sqlite3.Connection, version: int, forward: Callable[[Schema], None]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if (
            int(connection.execute("PRAGMA user_version").fetchone()[0]) < version
        ):  # or another process was first
            forward(Schema(connection.execute, SQLITE))
            connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
