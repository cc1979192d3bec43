"""Schema version 3: stored models."""

from __future__ import annotations

from .schema import Schema

__all__ = ["forward"]

STATEMENTS = (
    # `parts` is a JSON object: what hangs on a model is read and written with it, and never searched
    """
    CREATE TABLE "model" (
      "id" {number},
      "name" VARCHAR(255) UNIQUE NOT NULL,
      "model" TEXT NOT NULL,
      "size" INTEGER NOT NULL,
      "prompt" TEXT NOT NULL,
      "negative_prompt" TEXT NOT NULL,
      "parts" TEXT NOT NULL
    )
    """,
)


def forward(schema: Schema) -> None:
    """Add the table; the caller holds the transaction."""
    schema.lay(*STATEMENTS)
