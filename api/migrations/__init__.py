"""The database's schema as numbered steps forward; what runs them is `migrate`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from stretto.host.errors import ConfigurationError

from . import v001_baseline, v002_users, v003_models, v004_events, v005_downloads

__all__ = ["LATEST", "STEPS", "migrate", "unusable"]

# version reached -> what gets there from the version before
STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: v001_baseline.forward,
    2: v002_users.forward,
    3: v003_models.forward,
    4: v004_events.forward,
    5: v005_downloads.forward,
}
LATEST = max(STEPS)


def migrate(path: Path) -> int:
    """Bring the database file to LATEST and give the version that it had; 0 for a new file.

    Each step is one transaction with its `PRAGMA user_version`. A file that holds data is copied
    to `<name>.v<version>` first. Raises ConfigurationError for a file of a newer version or one
    that is no database.
    """
    with closing(_connected(path)) as connection:
        found = _version(connection, path)
        if found > LATEST:
            raise ConfigurationError(
                f"The database {path} has schema version {found}; this release reads up to {LATEST}. "
                "Use the newer release, or another data directory."
            )
        if 0 < found < LATEST:
            _copy(connection, path.with_name(f"{path.name}.v{found}"))
        for version in range(found + 1, LATEST + 1):
            _step(connection, version)
    return found


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


def unusable(path: Path, error: Exception) -> ConfigurationError:
    """Say that a database cannot be used, in the words of its library."""
    return ConfigurationError(
        f"The file {path} is not a usable database ({error}). Move it away, or use another data directory."
    )


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)


def _step(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        STEPS[version](connection)
        connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
