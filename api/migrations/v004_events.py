"""Schema version 4: what happened to invocations, keys that make invoking repeatable, and what was deleted."""

from __future__ import annotations

from .schema import Schema

__all__ = ["forward"]

STATEMENTS = (
    # `number` counts from 1 within an invocation, without gaps; `data` is the JSON that watchers get
    """
    CREATE TABLE "event" (
      "uuid" VARCHAR(32) NOT NULL,
      "number" INTEGER NOT NULL,
      "name" VARCHAR(16) NOT NULL,
      "data" TEXT NOT NULL,
      PRIMARY KEY ("uuid", "number")
    ) {compact}
    """,
    # `digest` is of the body; `uuid` was promised before the invocation was there
    """
    CREATE TABLE "idempotency" (
      "user_id" INTEGER NOT NULL,
      "key" VARCHAR(255) NOT NULL,
      "digest" VARCHAR(64) NOT NULL,
      "uuid" VARCHAR(32) NOT NULL,
      "created" {real} NOT NULL,
      PRIMARY KEY ("user_id", "key")
    ) {compact}
    """,
    'CREATE INDEX "idx_idempotency__created" ON "idempotency" ("created")',
    """
    CREATE TABLE "gone" (
      "uuid" VARCHAR(32) PRIMARY KEY NOT NULL,
      "user_id" INTEGER NOT NULL,
      "deleted" {real} NOT NULL
    ) {compact}
    """,
)


def forward(schema: Schema) -> None:
    """Add the tables; the caller holds the transaction."""
    schema.lay(*STATEMENTS)
