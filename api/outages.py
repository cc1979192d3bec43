"""What callers are told while the database is away or busy: to come again, instead of a fault of ours."""

from __future__ import annotations

import sqlite3
from typing import Any

from pony.orm import InterfaceError, OperationalError
from stretto.host.errors import UnavailableError

__all__ = ["outage"]

# classes of SQLSTATE: connection exception, operator intervention, too many connections, lock not available
# (https://www.postgresql.org/docs/15/errcodes-appendix.html)
PASSING = ("08", "57P", "53300", "55P03")


def outage(error: Exception) -> UnavailableError | None:
    """Give what to answer where the same call may do well later; None for other errors."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return None
    cause: Any = error.original_exc
    if isinstance(cause, sqlite3.Error):
        passes = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
    else:  # psycopg2's; without a code nobody was there to give one
        passes = cause.pgcode is None or cause.pgcode.startswith(PASSING)
    return (
        UnavailableError("The database does not answer, or is busy; send this again in a moment")
        if passes
        else None
    )
