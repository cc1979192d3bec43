"""Which errors of a database say that the same call may do well later."""

from __future__ import annotations

import sqlite3

import psycopg2
import pytest
from pony.orm import CommitException, DatabaseError, IntegrityError, ProgrammingError
from stretto.api.outages import outage

GONE = psycopg2.DatabaseError("server closed the connection unexpectedly")


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError(GONE),
        GONE,  # as Pony leaves it
        psycopg2.InterfaceError("connection already closed"),
        CommitException("DatabaseError", [(DatabaseError, DatabaseError(GONE), None)]),
    ],
)
def test_a_connection_that_broke_off_is_an_outage(error):
    assert outage(error).status == 503


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError(psycopg2.ProgrammingError("can't adapt type 'object'")),
        IntegrityError(psycopg2.IntegrityError("duplicate key")),
        sqlite3.IntegrityError("UNIQUE"),
        ValueError("x"),
    ],
)
def test_a_fault_of_ours_is_none(error):
    assert outage(error) is None
