"""Downloads in the database: every call is one short transaction, durable when it returns."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pony.orm import db_session
from stretto.host.settings import Folders

from .entities import Records

__all__ = ["Download", "DownloadRows"]

QUEUED, RUNNING, COMPLETE, ERROR, CANCELED = "queued", "downloading", "complete", "error", "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One download; `downloaded` and `total` are bytes, times are Unix seconds."""

    id: int = 0
    user_id: int
    status: str = QUEUED
    source: str
    kind: str
    filename: str
    overwrite: bool = False
    sha256: str | None = None
    validator: str | None = None
    downloaded: int = 0
    total: int | None = None
    started: float | None = None
    finished: float | None = None
    error: str | None = None

    def target(self, folders: Folders) -> Path:
        """Give the place where the file will be."""
        return folders.model_folder(self.kind) / self.filename

    def part(self, folders: Folders) -> Path:
        """Give the hidden file beside it that holds what has come so far."""
        return folders.model_folder(self.kind) / f".{self.filename}.{self.id}.part"

    def as_object(self, folders: Folders) -> dict[str, object]:
        """Give it in the contract's keys; `error` only where there is one."""
        until = self.finished or time.time()
        made: dict[str, object] = {
            "id": self.id,
            "status": self.status,
            "source": self.source,
            "destination": str(self.target(folders)),
            "filename": self.filename,
            "elapsed": None if self.started is None else round(until - self.started, 3),
            "downloaded": None if self.started is None else self.downloaded,
            "total": self.total,
        }
        return made if self.error is None else {**made, "error": self.error}


class DownloadRows:
    """The table `download`; safe to call from any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def begin(self) -> list[Download]:
        """Let what was under way wait again, give what ended before, and forget that."""
        entity = self._records.download
        with db_session(immediate=True):
            rows = list(entity.select().order_by(entity.id)[:])
            ended = [_download(row) for row in rows if row.finished is not None]
            for row in rows:
                if row.finished is not None:
                    row.delete()
                elif row.status == RUNNING:
                    row.status = QUEUED
        return ended

    def add(self, download: Download) -> Download:
        """Keep a download and give it with its id."""
        names = ("user_id", "status", "source", "kind", "filename", "overwrite", "sha256")
        with db_session(immediate=True):
            row = self._records.download(**{name: getattr(download, name) for name in names})
            row.flush()
            return replace(download, id=row.id)

    def claim(self) -> Download | None:
        """Take the oldest one that waits: it is `downloading` now."""
        entity = self._records.download
        with db_session(immediate=True):
            row = entity.select(status=QUEUED).order_by(entity.id).for_update().first()
            if row is None:
                return None
            row.status = RUNNING
            row.started = row.started or time.time()
            return _download(row)

    def note(self, number: int, validator: str | None, total: int | None) -> None:
        """Keep what the server says of the file."""
        with db_session(immediate=True):
            row = self._records.download.get_for_update(id=number)
            if row is not None:
                row.validator, row.total = validator, total

    def end(
        self, number: int, status: str, *, downloaded: int | None = None, error: str | None = None
    ) -> None:
        """Record how it ended; what has ended already stays as it is."""
        with db_session(immediate=True):
            row = self._records.download.get_for_update(id=number)
            if row is None or row.finished is not None:
                return
            row.status, row.finished, row.error = status, time.time(), error
            row.downloaded = row.downloaded if downloaded is None else downloaded

    def all(self, user_id: int | None = None) -> list[Download]:
        """Give the downloads since the start, one user's or everybody's, the oldest first."""
        entity = self._records.download
        with db_session:
            chosen = entity.select() if user_id is None else entity.select(user_id=user_id)
            return [_download(row) for row in chosen.order_by(entity.id)[:]]

    def counts(self) -> dict[str, int]:
        """Give how many downloads there are since the start, by status."""
        with db_session:
            rows = self._records.database.select("SELECT status, COUNT(*) FROM download GROUP BY status")
        return {status: int(number) for status, number in rows}


def _download(row: Any) -> Download:
    return Download(**{name: getattr(row, name) for name in Download.__dataclass_fields__})
