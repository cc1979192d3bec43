"""Query strings of collections into SQL: limit, offset, sort, ilike, filter.

It knows columns only as SQL expressions; values travel as parameters, never in the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from stretto.host.errors import BadRequestError, Fault, InvalidRequestError, did_you_mean

from .dialects import Dialect
from .fields import shown

__all__ = ["Column", "Listing", "listing_of"]

DEFAULT_LIMIT = 100
MAX_TERMS = 100
LARGEST = 2**63 - 1  # the databases' integers
# null is the least of all
DIRECTIONS = {"": "ASC", "asc": "ASC", "desc": "DESC"}
NULLS = {"ASC": "NULLS FIRST", "DESC": "NULLS LAST"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One attribute of a collection: its SQL expression and how its values are written.

    A `json` column can be searched with ilike alone.
    """

    sql: str
    kind: Literal["text", "integer", "real", "time", "json"]


@dataclass(slots=True)
class Listing:
    """Parts of a SELECT over one collection; `where` begins with AND, `limit` LARGEST is none.

    What is equal by `order` comes in the order of `id`, so that pages do not overlap.
    """

    where: str = ""
    order: str = ""
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    values: dict[str, object] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """Add a parameter and give its place in the SQL."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def listing_of(
    params: Mapping[str, Sequence[str]], columns: Mapping[str, Column], dialect: Dialect
) -> Listing:
    """Read the grammar of collections; raises BadRequestError naming parameter, value and columns.

    Parameters that are not of the grammar are left alone; `include` is read by `include_of`.
    """
    listing = Listing()
    terms = [*params.get("sort", ()), *params.get("ilike", ()), *params.get("filter", ())]
    if len(terms) > MAX_TERMS:
        raise BadRequestError(f"{len(terms)} sort, ilike and filter terms are too many; at most {MAX_TERMS}")
    if "limit" in params:
        limit = _integer("limit", params["limit"][-1])
        listing.limit = limit if limit > 0 else LARGEST
    if "offset" in params:
        listing.offset = max(0, _integer("offset", params["offset"][-1]))
    keys = [_sort_key(term, columns, dialect) for term in params.get("sort", ())]
    if keys:
        listing.order = (
            f"ORDER BY {', '.join(f'{sql} {way} {NULLS[way]}' for sql, way in keys)}, id {keys[-1][1]}"
        )
    searches = [_search(listing, term, columns, dialect) for term in params.get("ilike", ())]
    clauses = [f"({' OR '.join(searches)})"] if searches else []
    clauses += [_match(listing, term, columns) for term in params.get("filter", ())]
    listing.where = "".join(f" AND {clause}" for clause in clauses)
    return listing


def _refused(parameter: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([Fault(field=parameter, message=message)])


def _integer(parameter: str, text: str) -> int:
    try:
        return max(-LARGEST, min(LARGEST, int(text)))
    except ValueError as error:
        raise _refused(parameter, f"{shown(text)} is not a whole number") from error


def _column(parameter: str, name: str, columns: Mapping[str, Column], *, searched: bool = False) -> Column:
    known = [key for key, column in columns.items() if searched or column.kind != "json"]
    if name not in known:
        raise _refused(parameter, f"{shown(name)} is no column for it; {did_you_mean(name, known)}")
    return columns[name]


def _sort_key(term: str, columns: Mapping[str, Column], dialect: Dialect) -> tuple[str, str]:
    name, _, direction = term.partition(":")
    if direction.lower() not in DIRECTIONS:
        raise _refused("sort", f"{shown(direction)} is no direction; asc and desc are")
    column, way = _column("sort", name, columns), DIRECTIONS[direction.lower()]
    return f"{column.sql}{dialect.by_code if column.kind == 'text' else ''}", way


def _search(listing: Listing, term: str, columns: Mapping[str, Column], dialect: Dialect) -> str:
    name, _, text = term.partition(":")
    column = _column("ilike", name, columns, searched=True)
    if not text:
        return "TRUE"
    sql = column.sql
    if column.kind == "time":
        sql = dialect.local_time.format(sql=sql)
    if column.kind == "json":
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    if text.isascii() and "\0" not in text:  # LIKE folds the case of ASCII alone, and ends at a NUL
        pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return dialect.like.format(sql=sql, text=listing.bind(f"%{pattern}%"))
    return dialect.contains.format(sql=sql, text=listing.bind(text.casefold()))


def _match(listing: Listing, term: str, columns: Mapping[str, Column]) -> str:
    # [!]column[|column...][+column...]:value[|value...]; a bare + arrives as a space
    names, colon, text = term.removeprefix("!").partition(":")
    if not colon:
        raise _refused("filter", f"{shown(term)} has no ':'; write column:value")
    every = "|" not in names
    words = names.replace("+", " ").split() if every else names.split("|")
    if not words:
        raise _refused("filter", f"{shown(term)} names no column; write column:value")
    tests = [_any_of(listing, _column("filter", word, columns), word, text.split("|")) for word in words]
    joined = (" AND " if every else " OR ").join(tests)
    return f"NOT COALESCE(({joined}), FALSE)" if term.startswith("!") else f"({joined})"


def _any_of(listing: Listing, column: Column, name: str, values: Sequence[str]) -> str:
    if len(values) > MAX_TERMS:
        raise _refused("filter", f"{len(values)} values for {name} are too many; at most {MAX_TERMS}")
    tests = []
    for value in values:
        if value == "null":
            tests.append(f"{column.sql} IS NULL")
        elif column.kind in ("real", "time"):
            # floats come back from JSON and ISO texts with 6 decimals
            tests.append(f"ABS({column.sql} - {listing.bind(_typed(column, name, value))}) < 0.000001")
        else:
            tests.append(f"{column.sql} = {listing.bind(_typed(column, name, value))}")
    return f"({' OR '.join(tests)})"


def _typed(column: Column, name: str, text: str) -> object:
    read, words = _READERS[column.kind]
    try:
        value = read(text)
    except (ValueError, OverflowError) as error:
        raise _refused("filter", f"{shown(text)} does not fit {name}, which takes {words}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused("filter", f"{shown(text)} does not fit {name}, which takes {words}")
    return max(-LARGEST, min(LARGEST, value)) if isinstance(value, int) else value


_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "text": (str, "text"),
    "integer": (int, "whole numbers"),
    "real": (float, "numbers"),
    "time": (lambda text: datetime.fromisoformat(text).timestamp(), "ISO-8601 local times"),
}
