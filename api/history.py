"""Reading and removing invocations: what pollers and history see of the `invocation` table.

Stored plans are spliced into answers as text; decoding them would cost more than the query.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from pony.orm import db_session
from stretto.host.contracts.ports import JobStatus
from stretto.host.errors import NotFoundError, StateConflictError

from .entities import Records
from .envelope import iso_local, json_text
from .listing import Column, Listing
from .turnstile import Turnstile

__all__ = [
    "HISTORY_COLUMNS",
    "Counts",
    "InvocationRow",
    "active",
    "counts",
    "deleted",
    "find",
    "history",
    "remove",
    "since",
    "start_mark",
]

DURATION = "COALESCE(finished - started, 0.0)"
HISTORY_COLUMNS = {
    "duration": Column(sql=DURATION, kind="real"),
    "error": Column(sql="error", kind="text"),
    "id": Column(sql="uuid", kind="text"),
    "outputs": Column(sql="outputs", kind="integer"),
    "plan": Column(sql="plan", kind="json"),
    "started": Column(sql="started", kind="time"),
    "user_id": Column(sql="user_id", kind="integer"),
}
# kept by triggers, as counting reads every row
COUNT_ALL = "SELECT COALESCE((SELECT number FROM invocation_count WHERE user_id = $user), 0)"
DEFAULT_ORDER = "ORDER BY started NULLS FIRST, id"  # an index has it so
FEW = 20  # rows, which threads read side by side
_TURNSTILE = Turnstile()
ROW = "id, uuid, user_id, status, started, finished, total, images, error"


@dataclass(frozen=True, slots=True)
class InvocationRow:
    """One invocation without its plan; times are Unix seconds, `total` is in progress ticks."""

    id: int
    uuid: str
    user_id: int
    status: JobStatus
    started: float
    finished: float | None
    total: int
    images: tuple[str, ...]
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many invocations work, wait, and are this server's in all."""

    processing: int
    queued: int
    total: int


def find(records: Records, uuid: str, user_id: int | None) -> InvocationRow:
    """Give one of a user's invocations, or of anybody's (None); raises NotFoundError."""
    with db_session:
        rows = records.database.select(
            f"SELECT {ROW} FROM invocation WHERE uuid = $uuid",  # noqa: S608  # a constant
            {},
            {"uuid": uuid},
        )
    if not rows or user_id not in (None, rows[0][2]):
        raise NotFoundError(f"No invocation matching UUID {uuid}")
    return _row(rows[0])


def since(records: Records, after_id: int, user_id: int) -> list[InvocationRow]:
    """Give a user's invocations that came after a row, oldest first."""
    with db_session:
        rows = records.database.select(
            f"SELECT {ROW} FROM invocation WHERE user_id = $user "  # noqa: S608  # a constant
            "AND id > $after ORDER BY id",
            {},
            {"user": user_id, "after": after_id},
        )
    return [_row(row) for row in rows]


def start_mark(records: Records) -> int:
    """Give the id after which invocations are this server's: those that are not over yet, and new ones."""
    with db_session:
        found = records.database.select(
            "SELECT COALESCE((SELECT MIN(id) - 1 FROM invocation WHERE status IN ('queued', 'processing')), "
            "(SELECT MAX(id) FROM invocation), 0)"
        )
    return int(found[0])


def counts(records: Records, after_id: int) -> Counts:
    """Count invocations for `GET /api`."""
    with db_session:
        processing, queued, total = records.database.select(
            "SELECT (SELECT COUNT(*) FROM invocation WHERE status = 'processing'), "
            "(SELECT COUNT(*) FROM invocation WHERE status = 'queued'), "
            "(SELECT COALESCE(MAX(id), 0) FROM invocation)"
        )[0]
    return Counts(processing=processing, queued=queued, total=max(total - after_id, 0))


def active(records: Records) -> InvocationRow | None:
    """Give the invocation that is at work."""
    with db_session:
        rows = records.database.select(
            f"SELECT {ROW} FROM invocation WHERE status = 'processing' ORDER BY id LIMIT 1"  # noqa: S608  # a constant
        )
    return _row(rows[0]) if rows else None


def history(records: Records, listing: Listing, user_id: int | None) -> tuple[bytes, int]:
    """Give a page of a user's history (None: everybody's) as a JSON list in UTF-8, and the number of all that match."""
    where = f"WHERE {'TRUE' if user_id is None else 'user_id = $user'}{listing.where}"
    values = {**listing.values, "user": user_id, "limit": listing.limit, "offset": listing.offset}
    plan = records.dialect.unread.format(sql="plan")
    with _TURNSTILE.turn() if listing.limit > FEW else nullcontext(), db_session:
        rows = records.database.select(
            f"SELECT {DURATION} AS duration, error, uuid, outputs, {plan} AS plan, started, user_id "  # noqa: S608  # only Column.sql
            f"FROM invocation {where} {listing.order or DEFAULT_ORDER} LIMIT $limit OFFSET $offset",
            {},
            values,
        )
        if len(rows) < listing.limit and (rows or not listing.offset):  # the last page
            count = listing.offset + len(rows)
        else:
            whole = user_id is not None and not listing.where
            counting = COUNT_ALL if whole else f"SELECT COUNT(*) FROM invocation {where}"  # noqa: S608  # the same
            count = int(records.database.select(counting, {}, values)[0])
    return b"[%b]" % b", ".join([_history_json(row) for row in rows]), count


def remove(records: Records, uuid: str) -> None:
    """Delete a row; raises NotFoundError, or StateConflictError while the worker has it."""
    with db_session(immediate=True):
        row = records.invocation.get_for_update(uuid=uuid)
        if row is None:
            raise NotFoundError(f"No invocation with ID {uuid}")
        if row.status == JobStatus.PROCESSING:
            raise StateConflictError(f"The invocation {uuid} is being stopped; delete it when it has ended")
        records.database.execute(
            "INSERT INTO gone (uuid, user_id, deleted) VALUES ($uuid, $user, $now) "
            "ON CONFLICT (uuid) DO UPDATE SET user_id = excluded.user_id, deleted = excluded.deleted",
            {},
            {"uuid": uuid, "user": row.user_id, "now": time.time()},
        )
        records.database.execute("DELETE FROM event WHERE uuid = $uuid", {}, {"uuid": uuid})
        row.delete()


def deleted(records: Records, uuid: str, user_id: int | None) -> bool:
    """Say whether there was such an invocation of a user's, or of anybody's (None), and it was deleted."""
    with db_session:
        rows = records.database.select("SELECT user_id FROM gone WHERE uuid = $uuid", {}, {"uuid": uuid})
    return bool(rows) and user_id in (None, rows[0])


def _row(row: Sequence[Any]) -> InvocationRow:
    number, uuid, user_id, status, started, finished, total, images, error = row
    return InvocationRow(
        number,
        uuid,
        user_id,
        JobStatus(status),
        started,
        finished,
        total,
        tuple(json.loads(images)),
        error,
    )


def _history_json(row: Sequence[Any]) -> bytes:
    duration, error, uuid, outputs, plan, started, user_id = row
    said = "null" if error is None else json_text(error)
    before = (
        f'{{"type": "DiffusionInvocation", "attributes": {{"duration": {duration!r}, '
        f'"error": {said}, "id": {json_text(uuid)}, "outputs": {outputs}, "plan": '
    )
    after = f', "started": "{iso_local(started)}", "user_id": {user_id}}}}}'
    return b"%b%b%b" % (before.encode(), plan if isinstance(plan, bytes) else plan.encode(), after.encode())
