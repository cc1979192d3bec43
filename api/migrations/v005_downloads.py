"""Schema version 5: downloads."""

from __future__ import annotations

import sqlite3

__all__ = ["forward"]

STATEMENTS = (
    """
    CREATE TABLE "download" (
      "id" INTEGER PRIMARY KEY AUTOINCREMENT,
      "user_id" INTEGER NOT NULL,
      "status" VARCHAR(16) NOT NULL,
      "source" TEXT NOT NULL,
      "kind" VARCHAR(32) NOT NULL,
      "filename" VARCHAR(255) NOT NULL,
      "overwrite" BOOLEAN NOT NULL,
      "sha256" VARCHAR(64),
      "validator" TEXT,
      "downloaded" BIGINT NOT NULL,
      "total" BIGINT,
      "started" REAL,
      "finished" REAL,
      "error" TEXT
    )
    """,
    'CREATE INDEX "download_status" ON "download" ("status")',
)


def forward(connection: sqlite3.Connection) -> None:
    """Add the table; the caller holds the transaction."""
    for statement in STATEMENTS:
        connection.execute(statement)
