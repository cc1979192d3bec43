"""The records: Pony entities over the tables that the migrations lay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .dialects import POSTGRES, SQLITE, Dialect
from .migrations import migrate, unusable
from .postgres import PostgresServer

__all__ = ["Records", "open_database", "torn_said"]

BUSY_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Records:
    """One open database and its entities; Pony has no types, so they are Any here."""

    database: Any
    invocation: Any
    setting: Any
    user: Any
    token: Any
    model: Any
    download: Any
    dialect: Dialect

    def close(self) -> None:
        """Give back this thread's connection; other threads' connections end with their threads."""
        self.database.disconnect()


def open_database(place: Path | PostgresServer) -> Records:
    """Migrate a file (made when absent) or a server's database, and map the entities onto it.

    Raises ConfigurationError when it is newer than this release, is no database or cannot be reached.
    """
    from pony.orm import Database

    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
    migrate(place)
    database = Database()
    records = _entities(database, SQLITE if isinstance(place, Path) else POSTGRES)
    if isinstance(place, Path):
        database.on_connect(provider="sqlite")(_prepare)
        database.bind(provider="sqlite", filename=str(place), timeout=BUSY_TIMEOUT_S)
    else:
        from .pony_postgres import Provider

        database.bind(Provider, **place.parameters)
    database.generate_mapping(create_tables=False)
    return records


@contextmanager
def torn_said(place: Path | PostgresServer) -> Iterator[None]:
    """Raise ConfigurationError naming the place for what the database itself cannot do, such as read a torn page."""
    from pony.orm import DatabaseError

    try:
        yield
    except DatabaseError as error:
        raise unusable(place, error) from error


def _prepare(_database: Any, connection: Any) -> None:
    # WAL + NORMAL: a commit survives the death of the process without an fsync a request
    # (https://www.sqlite.org/pragma.html#pragma_synchronous).
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA case_sensitive_like=OFF")  # Pony switches it on
    connection.create_function("casefold", 1, _casefold, deterministic=True)


def _casefold(value: object) -> str | None:
    return None if value is None else str(value).casefold()


def _entities(database: Any, dialect: Dialect) -> Records:
    from pony.orm import LongStr, Optional, PrimaryKey, Required

    # Times are Unix seconds. `started` is the time of the call until the work starts, so that
    # history can always be sorted by it. `total` is the plan's number of progress ticks.
    invocation = _entity(
        database,
        "Invocation",
        id=PrimaryKey(int, auto=True),
        uuid=Required(str, 32, unique=True),
        user_id=Required(int),
        status=Required(str, 16, index=True),
        attempts=Required(int, default=0),
        created=Required(float),
        started=Required(float, index=True),
        finished=Optional(float),
        total=Required(int, default=0),
        outputs=Required(int, default=0),
        images=Required(LongStr, default="[]", lazy=False),
        error=Optional(LongStr, nullable=True, lazy=False),
        plan=Required(LongStr, lazy=True),
    )
    setting = _entity(database, "Setting", name=PrimaryKey(str, 64), value=Required(LongStr, lazy=False))
    user = _entity(
        database,
        "User",
        id=PrimaryKey(int, auto=True),
        username=Required(str, 64),  # unique without regard to case, by an index
        password=Optional(LongStr, lazy=False),  # none for noauth
        first_name=Optional(LongStr, nullable=True, lazy=False),
        last_name=Optional(LongStr, nullable=True, lazy=False),
        admin=Required(bool),
        last_login=Optional(float),
    )
    token = _entity(
        database,
        "Token",
        id=PrimaryKey(int, auto=True),
        user_id=Required(int, index=True),
        hash=Required(str, 64, unique=True),
        created=Required(float),
        expires=Required(float),
    )
    model = _entity(
        database,
        "Model",
        id=PrimaryKey(int, auto=True),
        name=Required(str, 255, unique=True, autostrip=False),
        model=Required(LongStr, lazy=False, autostrip=False),
        size=Required(int),
        prompt=Optional(LongStr, lazy=False, autostrip=False),
        negative_prompt=Optional(LongStr, lazy=False, autostrip=False),
        parts=Required(LongStr, lazy=False),
    )
    return Records(database, invocation, setting, user, token, model, _download(database), dialect)


def _download(database: Any) -> Any:
    from pony.orm import LongStr, Optional, PrimaryKey, Required

    return _entity(
        database,
        "Download",
        id=PrimaryKey(int, auto=True),
        user_id=Required(int),
        status=Required(str, 16, index=True),
        source=Required(LongStr, lazy=False, autostrip=False),
        kind=Required(str, 32),
        filename=Required(str, 255, autostrip=False),
        overwrite=Required(bool),
        sha256=Optional(str, 64, nullable=True),
        validator=Optional(LongStr, nullable=True, lazy=False, autostrip=False),
        downloaded=Required(int, size=64, default=0),
        total=Optional(int, size=64),
        started=Optional(float),
        finished=Optional(float),
        error=Optional(LongStr, nullable=True, lazy=False),
    )


def _entity(database: Any, name: str, /, **attributes: Any) -> Any:
    # A class statement over `database.Entity` would be the same call of the same metaclass, but a
    # type checker cannot follow it.
    return type(database.Entity)(
        name, (database.Entity,), {"_table_": name.lower(), "__module__": __name__, **attributes}
    )
