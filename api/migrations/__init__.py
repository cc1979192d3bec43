"""The database's schema as numbered steps forward; what runs them is `migrate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stretto.host.errors import ConfigurationError

from ..postgres import PostgresServer
from . import (
    on_postgres,
    on_sqlite,
    v001_baseline,
    v002_users,
    v003_models,
    v004_events,
    v005_downloads,
    v006_counts,
)
from .schema import Schema

__all__ = ["LATEST", "STEPS", "migrate", "unusable", "version_of"]

# version reached -> what gets there from the version before
STEPS: dict[int, Callable[[Schema], None]] = {
    1: v001_baseline.forward,
    2: v002_users.forward,
    3: v003_models.forward,
    4: v004_events.forward,
    5: v005_downloads.forward,
    6: v006_counts.forward,
}
LATEST = max(STEPS)


def migrate(place: Path | PostgresServer) -> int:
    """Bring a database to LATEST and give the version that it had; 0 for a new one.

    A file is copied to `<name>.v<version>` first, and a server takes all steps or none. Raises
    ConfigurationError for a newer version and for what is no database.
    """
    if isinstance(place, Path):
        return on_sqlite.migrate_file(place, STEPS)
    return on_postgres.migrate_server(place, STEPS)


def version_of(place: Path | PostgresServer) -> int:
    """Give the version of a database that is there, without a change to it; raises ConfigurationError."""
    if isinstance(place, Path):
        return on_sqlite.version_of_file(place)
    return on_postgres.version_of_server(place)


def unusable(place: Path | PostgresServer, error: Exception) -> ConfigurationError:
    """Say that a database cannot be used, in the words of its library."""
    return on_sqlite.unusable(place, error) if isinstance(place, Path) else place.unusable(error)
