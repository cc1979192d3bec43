"""SQL that SQLite and PostgreSQL have no common words for; all else is written so that both read it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["POSTGRES", "SQLITE", "Dialect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Templates over SQL expressions: {sql} is a column's, {text} a parameter's."""

    name: str
    like: str  # {sql} fits the pattern {text}, whatever the case of ASCII
    contains: str  # {sql} holds {text}, which is casefolded, in any case of any script
    local_time: str  # Unix seconds as an ISO-8601 local time, to the second
    by_code: str  # after a text to sort by: in the order of code points
    unread: str  # a text as UTF-8 where that spares decoding it, or as it is


SQLITE = Dialect(
    name="sqlite",
    like="{sql} LIKE {text} ESCAPE '\\'",
    contains="INSTR(casefold({sql}), {text}) > 0",
    local_time="strftime('%Y-%m-%dT%H:%M:%S', {sql}, 'unixepoch', 'localtime')",
    by_code="",
    unread="CAST({sql} AS BLOB)",
)
# Unicode's own rules are ICU's, whatever the locale of the database is. Upper case, not lower case: a capital
# sigma has two small ones, and which one is meant depends on what stands beside it.
POSTGRES = Dialect(
    name="postgres",
    like="CAST({sql} AS TEXT) COLLATE \"C\" ILIKE {text} ESCAPE '\\'",
    contains='STRPOS(UPPER(CAST({sql} AS TEXT) COLLATE "und-x-icu"), '
    'UPPER(CAST({text} AS TEXT) COLLATE "und-x-icu")) > 0',
    local_time="TO_CHAR(TO_TIMESTAMP({sql}), 'YYYY-MM-DD\"T\"HH24:MI:SS')",
    by_code=' COLLATE "C"',
    unread="{sql}",
)
