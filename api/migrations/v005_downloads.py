"""Schema version 5: downloads."""

from __future__ import annotations

from .schema import Schema

__all__ = ["forward"]

STATEMENTS = (
    """
    CREATE TABLE "download" (
      "id" {number},
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
      "started" {real},
      "finished" {real},
      "error" TEXT
    )
    """,
    'CREATE INDEX "download_status" ON "download" ("status")',
)


def forward(schema: Schema) -> None:
    """Add the table; the caller holds the transaction."""
    schema.lay(*STATEMENTS)
