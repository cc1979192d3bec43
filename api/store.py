"""The host's job store, on Pony: every call is one short transaction, durable when it returns."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from pony.orm import db_session
from stretto.host.contracts.plan import Plan
from stretto.host.contracts.ports import Job, JobStatus
from stretto.host.errors import BadRequestError, NotFoundError, TooManyRequestsError
from stretto.host.planning.estimate import progress_ticks

from .entities import Records
from .plan_json import plan_from_json

__all__ = ["PonyJobStore", "database_file", "plan_text"]

_log = logging.getLogger(__name__)


class PonyJobStore:
    """Keeps jobs in the `invocation` table; safe to call from any thread.

    A job at the head of the queue is the one with the least id, so one that is queued again is
    taken before all that came after it.
    """

    def __init__(self, records: Records) -> None:
        self.records = records

    def add(self, job: Job, *, limit: int) -> Job:
        """Keep a queued job and give it with its id; TooManyRequestsError when `limit` jobs wait."""
        created = job.created or time.time()
        text, total = plan_text(job.plan), progress_ticks(job.plan)
        with db_session(immediate=True):
            if self._count(JobStatus.QUEUED) >= limit:
                raise TooManyRequestsError(
                    f"Too many requests. {limit} invocations may wait (setting max_queued_invocations) "
                    "and do; send this one again when one of them has ended."
                )
            row = self.records.invocation(
                uuid=job.uuid,
                user_id=job.user_id,
                status=str(JobStatus.QUEUED),
                attempts=job.attempts,
                created=created,
                started=created,
                total=total,
                plan=text,
            )
            row.flush()
            return _job(row, job.plan)

    def claim(self) -> Job | None:
        """Take the oldest queued job: it is `processing` now and has one attempt more.

        A job whose stored plan cannot be read ends as `error`, and the next one is taken.
        """
        entity = self.records.invocation
        with db_session(immediate=True):
            while True:
                waiting = entity.select(status=str(JobStatus.QUEUED)).order_by(entity.id)
                row = waiting.for_update().first()
                if row is None:
                    return None
                plan = _readable(row)
                if plan is None:
                    continue
                row.status = str(JobStatus.PROCESSING)
                row.attempts += 1
                row.started = time.time()
                return _job(row, plan)

    def requeue(self, uuid: str) -> None:
        """Put a job that lost its worker back at the head of the queue."""
        with db_session(immediate=True):
            self._row(uuid).status = str(JobStatus.QUEUED)

    def finish(self, uuid: str, *, images: tuple[str, ...], plan: Plan) -> None:
        """Record the pictures, and the plan with what the engine noted in it."""
        with db_session(immediate=True):
            row = self._row(uuid)
            row.status = str(JobStatus.COMPLETED)
            row.finished = time.time()
            row.images = json.dumps(images)
            row.outputs = len(images)
            row.plan = plan_text(plan)

    def fail(self, uuid: str, *, message: str, plan: Plan | None = None) -> None:
        """Record why there are no pictures, and the plan with what the engine noted in it."""
        with db_session(immediate=True):
            row = self._row(uuid)
            _fail(row, message)
            if plan is not None:
                row.plan = plan_text(plan)

    def withdraw(self, uuid: str, *, message: str) -> bool:
        """End a job that still waits, as `fail` does; False when it does not wait (any more)."""
        with db_session(immediate=True):
            row = self.records.invocation.get_for_update(uuid=uuid)
            if row is None or row.status != JobStatus.QUEUED:
                return False
            _fail(row, message)
            return True

    def unfinished(self) -> list[Job]:
        """Give jobs that were `processing` when the host went away, oldest first."""
        entity = self.records.invocation
        with db_session(immediate=True):
            rows = entity.select(status=str(JobStatus.PROCESSING)).order_by(entity.id).for_update()[:]
            return [_job(row, plan) for row in rows if (plan := _readable(row)) is not None]

    def release(self) -> int:
        """Queue again what a host in good order left in the middle; give how many.

        The try is not counted, as neither the job nor its worker failed.
        """
        with db_session(immediate=True):
            rows = self.records.invocation.select(status=str(JobStatus.PROCESSING)).for_update()[:]
            for row in rows:
                row.status = str(JobStatus.QUEUED)
                row.attempts -= 1
            return len(rows)

    def waiting(self) -> int:
        """Count queued jobs."""
        with db_session:
            return self._count(JobStatus.QUEUED)

    def _count(self, status: JobStatus) -> int:
        sql = "SELECT COUNT(*) FROM invocation WHERE status = $status"
        return int(self.records.database.select(sql, {}, {"status": str(status)})[0])

    def _row(self, uuid: str) -> Any:
        row = self.records.invocation.get_for_update(uuid=uuid)
        if row is None:
            raise NotFoundError(f"No invocation matching UUID {uuid}")
        return row


def database_file(root: Path) -> Path:
    """Say where a data directory keeps its database."""
    return root / "stretto.db"


def plan_text(plan: Plan) -> str:
    """Write a plan as the JSON text that is stored, and spliced into answers as it stands."""
    return json.dumps(plan.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _readable(row: Any) -> Plan | None:
    try:
        return plan_from_json(json.loads(row.plan))
    except (BadRequestError, json.JSONDecodeError) as error:
        _log.error("invocation %s cannot run: %s", row.uuid, error)
        _fail(row, str(error))
        return None


def _fail(row: Any, message: str) -> None:
    row.status = str(JobStatus.ERROR)
    row.finished = time.time()
    row.error = message


def _job(row: Any, plan: Plan) -> Job:
    return Job(
        uuid=row.uuid,
        user_id=row.user_id,
        plan=plan,
        status=JobStatus(row.status),
        attempts=row.attempts,
        created=row.created,
        started=None if row.status == JobStatus.QUEUED else row.started,
        finished=row.finished,
        images=tuple(json.loads(row.images)),
        error=row.error,
        id=row.id,
    )
