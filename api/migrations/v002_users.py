"""Schema version 2: users and their tokens."""

from __future__ import annotations

from .schema import Schema

__all__ = ["forward"]

STATEMENTS = (
    """
    CREATE TABLE "user" (
      "id" {number},
      "username" VARCHAR(64) NOT NULL,
      "password" TEXT NOT NULL,
      "first_name" TEXT,
      "last_name" TEXT,
      "admin" BOOLEAN NOT NULL,
      "last_login" {real}
    )
    """,
    'CREATE UNIQUE INDEX "user_username" ON "user" (LOWER("username"))',
    """
    CREATE TABLE "token" (
      "id" {number},
      "user_id" INTEGER NOT NULL REFERENCES "user" ("id") ON DELETE CASCADE,
      "hash" VARCHAR(64) UNIQUE NOT NULL,
      "created" {real} NOT NULL,
      "expires" {real} NOT NULL
    )
    """,
    'CREATE INDEX "token_user_id" ON "token" ("user_id")',
    # whose everything is that is done without authentication; nobody can log in without a password
    """
    INSERT INTO "user" ("id", "username", "password", "admin") VALUES (0, 'noauth', '', {true})
    """,
)


def forward(schema: Schema) -> None:
    """Add the tables; the caller holds the transaction."""
    schema.lay(*STATEMENTS)
