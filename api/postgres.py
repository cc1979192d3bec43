"""A PostgreSQL server as the place of the database: where it is, and how it is reached.

What SQLite does by being one file, advisory locks do here: one writer at a time, and one server at a time
(https://www.postgresql.org/docs/15/explicit-locking.html#ADVISORY-LOCKS).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stretto.host.errors import ConfigurationError

__all__ = ["SCHEMES", "WRITERS", "PostgresServer", "held_alone", "server_of"]

SCHEMES = ("postgres://", "postgresql://")
CONNECT_S = 10
KEEPALIVE_S = 60  # of silence, after which it is asked whether the other end is still there
LETTING_GO_S = 1.0  # in which PostgreSQL notices that a server died
WAIT_S = 30  # for another writer, as with SQLite
IDLE_S = 60  # in the middle of a transaction, after which the server ends it
# keys of advisory locks, which are each database's own
WRITERS = 0x57_72_69_74_65
SERVER = 0x53_65_72_76_65


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One database of a server; its text never shows the password, `parameters` are libpq's words."""

    parameters: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        """Give the address without password and options."""
        known = self.parameters
        user = f"{known['user']}@" if "user" in known else ""
        name = known.get("dbname", "")
        host, port = known.get("host", ""), f":{known['port']}" if "port" in known else ""
        if host.startswith("/"):
            return f"postgres://{user}{port}/{name}?host={host}"
        return f"postgres://{user}{host}{port}/{name}"

    def connect(self) -> Any:
        """Give a connection; raises ConfigurationError when the server cannot be reached or refuses."""
        psycopg2 = _driver()
        try:
            return psycopg2.connect(**self.parameters)
        except psycopg2.Error as error:
            raise self.unusable(error) from error

    def unusable(self, error: Exception) -> ConfigurationError:
        """Say that the database cannot be used, in the words of the server."""
        said = " ".join(str(error).split()) or type(error).__name__
        return ConfigurationError(
            f"The database {self} cannot be used ({said}). Start that server, or correct --database "
            "(STRETTO_DATABASE): postgres://USER:PASSWORD@HOST:PORT/NAME."
        )


def server_of(url: str) -> PostgresServer:
    """Read an address of the form postgres://user:password@host:port/name, with libpq's options.

    Raises ConfigurationError for other forms, none of which is repeated: there may be a password in it.
    """
    if not url.startswith(SCHEMES):
        raise ConfigurationError(
            f"--database (STRETTO_DATABASE) takes an address that begins with {' or '.join(SCHEMES)}; "
            "leave it away for SQLite in the data directory"
        )
    psycopg2 = _driver()
    from psycopg2.extensions import parse_dsn

    try:
        given: dict[str, str] = parse_dsn(url)
    except psycopg2.ProgrammingError as error:
        reason = str(error).split(":", maxsplit=1)[0].split('"', maxsplit=1)[0].strip()
        raise _unreadable(reason) from None  # the cause repeats the address
    if any("@" in given.get(name, "") for name in ("host", "dbname")) or not _ports(given.get("port", "")):
        raise _unreadable("host, port or name hold what looks like the rest of a password")
    ours = f"-c lock_timeout={WAIT_S}s -c idle_in_transaction_session_timeout={IDLE_S}s -c TimeZone={_zone()}"
    found = {
        "connect_timeout": str(CONNECT_S),
        "application_name": "stretto",
        "keepalives_idle": str(KEEPALIVE_S),
        **given,
        "client_encoding": "UTF8",
        "options": f"{ours} {given.get('options', '')}".strip(),
    }
    return PostgresServer(MappingProxyType(found))


@contextmanager
def held_alone(server: PostgresServer) -> Iterator[None]:
    """Keep other servers off the database meanwhile; raises ConfigurationError when one has it."""
    with closing(server.connect()) as connection:
        connection.autocommit = True
        until = time.monotonic() + LETTING_GO_S
        while not _asked(connection, "pg_try_advisory_lock"):
            if time.monotonic() > until:
                raise ConfigurationError(
                    f"the database {server} is in use by another server; stop that one, or name another database"
                )
            time.sleep(0.05)
        try:
            yield
        finally:
            _let_go(connection)


def _asked(connection: Any, function: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", (SERVER,))
        return bool(cursor.fetchone()[0])


def _let_go(connection: Any) -> None:
    with suppress(_driver().Error):  # a server that went away let go by that
        _asked(connection, "pg_advisory_unlock")


def _unreadable(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The address in --database (STRETTO_DATABASE) cannot be read ({reason}); write "
        "postgres://USER:PASSWORD@HOST:PORT/NAME, with %40 for an @ and %2F for a / in the password"
    )


def _ports(text: str) -> bool:
    return all(part.isdigit() or not part for part in text.split(","))


def _driver() -> Any:
    try:
        import psycopg2
    except ImportError as error:
        raise ConfigurationError(
            f"PostgreSQL needs psycopg2, which cannot be imported ({error}); install it: "
            f"{shlex.quote(sys.executable)} -m pip install 'stretto[postgres]'"
        ) from error
    return psycopg2


def _zone() -> str:
    """Name this process's time zone in words that PostgreSQL knows, since searches are in local time."""
    named = os.environ.get("TZ", "").removeprefix(":")
    place = Path("/etc/localtime").resolve().as_posix()
    linked = re.search(r"/zoneinfo/(?:posix/|right/)?(.+)", named or place)
    if linked:
        return linked[1]
    if re.fullmatch(r"[\w+\-/<>,.:]+", named):
        return named
    offset_s = time.localtime().tm_gmtoff
    sign = "-" if offset_s >= 0 else "+"  # POSIX counts westwards
    hours, minutes = divmod(abs(offset_s) // 60, 60)
    return f"<local>{sign}{hours:02d}:{minutes:02d}"
