"""What callers are told while the database is away or busy: to come again, instead of a fault of ours."""

from __future__ import annotations

import sqlite3
from typing import Any

from pony.orm import CommitException, RollbackException
from stretto.host.errors import UnavailableError

__all__ = ["outage"]

# classes of SQLSTATE: connection exception, operator intervention, too many connections, lock not available
# (https://www.postgresql.org/docs/15/errcodes-appendix.html)
PASSING = ("08", "57P", "53300", "55P03")
# of psycopg2, where there is no SQLSTATE: nobody was there to give one. Of a connection that breaks off in the
# middle of a call it says the plain DatabaseError.
BROKEN = ("OperationalError", "InterfaceError", "DatabaseError")


def outage(error: Exception) -> UnavailableError | None:
    """Give what to answer where the same call may do well later; None for other errors."""
    if isinstance(error, (CommitException, RollbackException)):
        error = error.exceptions[0][1]
    cause: Any = getattr(error, "original_exc", error)  # Pony leaves some of the driver's errors as they are
    if isinstance(cause, sqlite3.Error):
        passes = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
    elif hasattr(cause, "pgcode"):
        passes = cause.pgcode.startswith(PASSING) if cause.pgcode else type(cause).__name__ in BROKEN
    else:
        return None
    return (
        UnavailableError("The database does not answer, or is busy; send this again in a moment")
        if passes
        else None
    )
