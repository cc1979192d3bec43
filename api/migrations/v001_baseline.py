"""Schema version 1: invocations and settings."""

from __future__ import annotations

import sqlite3

__all__ = ["forward"]

STATEMENTS = (
    """
    CREATE TABLE "invocation" (
      "id" INTEGER PRIMARY KEY AUTOINCREMENT,
      "uuid" VARCHAR(32) UNIQUE NOT NULL,
      "user_id" INTEGER NOT NULL,
      "status" VARCHAR(16) NOT NULL,
      "attempts" INTEGER NOT NULL,
      "created" REAL NOT NULL,
      "started" REAL NOT NULL,
      "finished" REAL,
      "total" INTEGER NOT NULL,
      "outputs" INTEGER NOT NULL,
      "images" TEXT NOT NULL,
      "error" TEXT,
      "plan" TEXT NOT NULL
    )
    """,
    'CREATE INDEX "invocation_status" ON "invocation" ("status")',
    'CREATE INDEX "invocation_started" ON "invocation" ("started")',
    'CREATE INDEX "invocation_user_started" ON "invocation" ("user_id", "started")',
    'CREATE TABLE "setting" ("name" VARCHAR(64) NOT NULL PRIMARY KEY, "value" TEXT NOT NULL)',
)


def forward(connection: sqlite3.Connection) -> None:
    """Lay the first tables; the caller holds the transaction."""
    for statement in STATEMENTS:
        connection.execute(statement)
