"""Schema version 1: invocations and settings."""

from __future__ import annotations

from .schema import Schema

__all__ = ["forward"]

STATEMENTS = (
    """
    CREATE TABLE "invocation" (
      "id" {number},
      "uuid" VARCHAR(32) UNIQUE NOT NULL,
      "user_id" INTEGER NOT NULL,
      "status" VARCHAR(16) NOT NULL,
      "attempts" INTEGER NOT NULL,
      "created" {real} NOT NULL,
      "started" {real} NOT NULL,
      "finished" {real},
      "total" INTEGER NOT NULL,
      "outputs" INTEGER NOT NULL,
      "images" TEXT NOT NULL,
      "error" TEXT,
      "plan" TEXT NOT NULL
    )
    """,
    'CREATE INDEX "invocation_status" ON "invocation" ("status")',
    'CREATE INDEX "invocation_started" ON "invocation" ("started"{least})',
    'CREATE INDEX "invocation_user_started" ON "invocation" ("user_id", "started"{least})',
    'CREATE TABLE "setting" ("name" VARCHAR(64) NOT NULL PRIMARY KEY, "value" TEXT NOT NULL)',
)


def forward(schema: Schema) -> None:
    """Lay the first tables; the caller holds the transaction."""
    schema.lay(*STATEMENTS)
