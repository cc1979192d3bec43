"""Pony's provider for PostgreSQL, with the one writer at a time that SQLite has.

A transaction that is going to write (`db_session(immediate=True)`) waits for the one before it. So what is
read in it stays true until it ends, on both databases, and no change is refused for having come second.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from pony.orm.dbapiprovider import Pool, StrConverter
from pony.orm.dbproviders.postgres import PGPool, PGProvider

from .postgres import WRITERS

__all__ = ["Provider"]

QUIET_S = 5.0  # after which a connection is asked whether it is still there
LOCK = f"SELECT pg_advisory_xact_lock({WRITERS})"


class OnePerThread(PGPool):  # type: ignore[misc]  # Pony has no types
    """Each thread's connection, opened again when the server went away while it was quiet."""

    used = 0.0

    def connect(self) -> tuple[Any, bool]:
        """Give this thread's connection, and whether it is new."""
        now = time.monotonic()
        if self.con is not None:
            doubtful = now > self.used + QUIET_S or _spoken_to(self.con)
            if doubtful and not _answers(self.con):
                self.disconnect()
        self.used = now
        found: tuple[Any, bool] = super().connect()
        return found

    def release(self, con: Any) -> None:
        """End a transaction; sessions set nothing that would have to be discarded."""
        Pool.release(self, con)


class TextConverter(StrConverter):  # type: ignore[misc]  # Pony has no types
    """Attributes as they will come back: Pony compares what it wrote with what it reads again."""

    def validate(self, val: Any, obj: Any = None) -> Any:
        """Check a value as Pony does."""
        return _kept(super().validate(val, obj))


class Provider(PGProvider):  # type: ignore[misc]  # Pony has no types
    """PostgreSQL where writers come one after another, and where a text may hold any character."""

    converter_classes = tuple(
        (kind, TextConverter if kind is str else converter)
        for kind, converter in PGProvider.converter_classes
    )

    def get_pool(self, *args: Any, **kwargs: Any) -> OnePerThread:
        """Make the pool; the arguments are those of psycopg2.connect."""
        return OnePerThread(self.dbapi_module, *args, **kwargs)

    def set_transaction_mode(self, connection: Any, cache: Any) -> None:
        """Begin a transaction, and wait for other writers if it is going to write."""
        super().set_transaction_mode(connection, cache)
        if cache.immediate and not cache.in_transaction:
            self.execute(connection.cursor(), LOCK)
            cache.in_transaction = True

    def execute(self, cursor: Any, sql: str, arguments: Any = None, returning_id: bool = False) -> Any:
        """Run a statement; U+0000, which PostgreSQL cannot keep, is kept and looked up as U+FFFD."""
        if isinstance(arguments, Mapping):
            arguments = {name: _kept(value) for name, value in arguments.items()}
        return super().execute(cursor, sql, arguments, returning_id)


def _kept(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _spoken_to(connection: Any) -> bool:
    """Say whether a server sent something unasked, or ended the connection, which can be read too; without a call."""
    if connection.closed:
        return True
    watched = select.poll()
    watched.register(connection.fileno(), select.POLLIN)
    return bool(watched.poll(0))


def _answers(connection: Any) -> bool:
    try:
        connection.cursor().execute("SELECT 1")
        connection.rollback()
    except psycopg2.Error:
        return False
    return True
