"""Migrations of a PostgreSQL database: all steps that are missing are one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from stretto.host.errors import ConfigurationError

from ..postgres import WRITERS, PostgresServer
from .schema import POSTGRES, Schema

__all__ = ["migrate_server", "version_of_server"]

_log = logging.getLogger(__name__)

VERSION = "schema_version"  # a table of one row and one column


def migrate_server(server: PostgresServer, steps: Mapping[int, Callable[[Schema], None]]) -> int:
    """Bring a database to the last step, or leave it as it was, and give the version that it had; 0 for an empty one.

    Raises ConfigurationError for one of a newer version, one that holds something else, and one without
    Unicode or the right to make tables.
    """
    import psycopg2

    latest = max(steps)
    with closing(server.connect()) as connection:
        try:
            with connection, connection.cursor() as cursor:
                found = _version(cursor)
                if found == latest:
                    return found
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
                found = _version(cursor)  # another process may have been first
                _refuse_newer(server, found, latest)
                _refuse_without_unicode(server, cursor)
                if 0 < found < latest:
                    _log.warning(
                        "%s is brought from schema version %d to %d in one transaction", server, found, latest
                    )
                _steps(cursor, found, steps)
        except psycopg2.Error as error:
            raise _refused(server, error) from error
    return found


def version_of_server(server: PostgresServer) -> int:
    """Give the version of a database, without a change to it; 0 for an empty one."""
    import psycopg2

    try:
        with closing(server.connect()) as connection, connection.cursor() as cursor:
            return _version(cursor)
    except psycopg2.Error as error:  # somebody else's table of that name
        raise server.unusable(error) from error


def _version(cursor: Any) -> int:
    # to_regclass would remember across a wait for the lock that there was no table
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = %s)",
        (VERSION,),
    )
    if not cursor.fetchone()[0]:
        return 0
    cursor.execute(f"SELECT version FROM {VERSION}")  # noqa: S608  # a constant
    return int(cursor.fetchone()[0])


def _steps(cursor: Any, found: int, steps: Mapping[int, Callable[[Schema], None]]) -> None:
    if found == 0:
        cursor.execute(f"CREATE TABLE {VERSION} (version INTEGER NOT NULL)")
        cursor.execute(f"INSERT INTO {VERSION} VALUES (0)")  # noqa: S608  # a constant
    for version in range(found + 1, max(steps) + 1):
        steps[version](Schema(cursor.execute, POSTGRES))
        cursor.execute(f"UPDATE {VERSION} SET version = %s", (version,))  # noqa: S608  # a constant


def _refuse_newer(server: PostgresServer, found: int, latest: int) -> None:
    if found > latest:
        raise ConfigurationError(
            f"The database {server} has schema version {found}; this release reads up to {latest}. "
            "Use the newer release, or another database."
        )


def _refuse_without_unicode(server: PostgresServer, cursor: Any) -> None:
    cursor.execute("SHOW server_encoding")
    encoding = cursor.fetchone()[0]
    cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu')")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database {server} keeps texts as {encoding}; make one for any text: "
            "createdb --encoding=UTF8 --template=template0 NAME"
        )
    if not cursor.fetchone()[0]:
        raise ConfigurationError(
            f"The server of {server} is built without ICU, by which texts are searched; use one built with it, "
            "as distributions' are"
        )


def _refused(server: PostgresServer, error: Exception) -> ConfigurationError:
    said = " ".join(str(error).split())
    return ConfigurationError(
        f"The tables cannot be laid in the database {server} ({said}). Give it a database of its own that its "
        "user owns: createdb --owner=USER NAME"
    )
