"""Schema version 6: how many invocations each user has, kept by the database itself, as history says it on every page."""

from __future__ import annotations

from .schema import SQLITE, Schema

__all__ = ["forward"]

STATEMENTS = (
    """
    CREATE TABLE "invocation_count" (
      "user_id" INTEGER PRIMARY KEY NOT NULL,
      "number" INTEGER NOT NULL
    )
    """,
    """
    INSERT INTO "invocation_count" ("user_id", "number")
    SELECT "user_id", COUNT(*) FROM "invocation" GROUP BY "user_id"
    """,
)
ONE_MORE = """
    INSERT INTO "invocation_count" ("user_id", "number") VALUES (NEW."user_id", 1)
    ON CONFLICT ("user_id") DO UPDATE SET "number" = "invocation_count"."number" + 1;
"""
ONE_LESS = """
    UPDATE "invocation_count" SET "number" = "number" - 1 WHERE "user_id" = OLD."user_id";
"""
ON_SQLITE = (
    f'CREATE TRIGGER "invocation_added" AFTER INSERT ON "invocation" BEGIN {ONE_MORE} END',
    f'CREATE TRIGGER "invocation_removed" AFTER DELETE ON "invocation" BEGIN {ONE_LESS} END',
    f'CREATE TRIGGER "invocation_given" AFTER UPDATE OF "user_id" ON "invocation" BEGIN {ONE_LESS} {ONE_MORE} END',
)
ON_POSTGRES = (
    f"""
    CREATE FUNCTION "count_invocation"() RETURNS TRIGGER LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP <> 'INSERT' THEN {ONE_LESS} END IF;
      IF TG_OP <> 'DELETE' THEN {ONE_MORE} END IF;
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER "invocation_counted" AFTER INSERT OR DELETE OR UPDATE OF "user_id" ON "invocation"
    FOR EACH ROW EXECUTE FUNCTION "count_invocation"()
    """,
)


def forward(schema: Schema) -> None:
    """Add the table and what keeps it; the caller holds the transaction."""
    schema.lay(*STATEMENTS, *(ON_SQLITE if schema.words is SQLITE else ON_POSTGRES))
