"""The queue of downloads: how many run at once, who waits, and that one which fails stops no other."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote

from annotated_types import MaxLen
from stretto.host.catalog.probe import SUFFIXES
from stretto.host.errors import (
    BadRequestError,
    CancelledError,
    StateConflictError,
    StrettoError,
    TooManyRequestsError,
    did_you_mean,
)
from stretto.host.settings import MODEL_FOLDERS, Folders, Settings

from .access import User
from .addresses import checked_url
from .download_rows import CANCELED, COMPLETE, ERROR, QUEUED, RUNNING, Download, DownloadRows
from .entities import Records
from .fields import checked, refuse, shown
from .transfer import Transfer

__all__ = ["DownloadCounts", "DownloadForm", "Downloads", "form_of", "weight_name"]

_log = logging.getLogger(__name__)

# No separators, no leading dot, no control characters: so no way out of the folder.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ ()+\[\]-]{0,199}", re.ASCII)
ENDINGS = (*SUFFIXES, ".onnx", ".yaml", ".json", ".txt")
DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
STOP_S = 2.0  # for all together; what has not ended by then ends with the process


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadForm:
    """What `POST /api/download` takes."""

    type: Annotated[str, MaxLen(64)] = ""
    url: Annotated[str, MaxLen(4096)] = ""
    filename: Annotated[str, MaxLen(255)] = ""
    overwrite: bool = False
    sha256: Annotated[str, MaxLen(64)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadCounts:
    """How many run, wait, and were asked for since the start."""

    active: int
    queued: int
    total: int


def form_of(body: Mapping[str, object], *, private: bool) -> DownloadForm:
    """Check a JSON body and give it with a file name; raises BadRequestError in the contract's words."""
    given = {name: body[name] for name in DownloadForm.__dataclass_fields__ if body.get(name) is not None}
    form, faults = checked(DownloadForm, given)
    refuse(DownloadForm, faults)
    assert form is not None  # noqa: S101  # `refuse` raised otherwise
    for name in ("type", "url"):
        if not getattr(form, name):
            raise BadRequestError(f"Missing required argument '{name}'")
    if form.type not in MODEL_FOLDERS:
        raise BadRequestError(
            f"type: {shown(form.type)} is unknown; {did_you_mean(form.type, MODEL_FOLDERS)}"
        )
    parts = checked_url(form.url, private=private)
    name = weight_name(form.filename or PurePosixPath(unquote(parts.path)).name)
    if form.sha256 and not DIGEST.fullmatch(form.sha256):
        raise BadRequestError(f"sha256: {shown(form.sha256)} is no SHA-256; it has 64 digits 0-9 and a-f")
    return replace(form, filename=name)


def weight_name(name: str) -> str:
    """Give a name for a file in a model folder as it is, or raise BadRequestError."""
    if not NAME.fullmatch(name) or not name.lower().endswith(ENDINGS):
        raise BadRequestError(
            f"filename: {shown(name)} does not serve; it takes a name without a folder that ends with "
            f"one of {', '.join(ENDINGS)}"
        )
    return name


class Downloads:
    """Runs downloads in threads, as many at once as the settings say at that moment.

    What waited or was under way when the server before ended goes on.
    """

    def __init__(self, records: Records, folders: Folders, settings: Callable[[], Settings]) -> None:
        self._rows = DownloadRows(records)
        self._folders = folders
        self._settings = settings
        self._lock = threading.RLock()
        self._running: dict[int, tuple[Transfer, threading.Thread]] = {}
        self._closed = False
        self._resume()

    def _resume(self) -> None:
        for ended in self._rows.begin():
            ended.part(self._folders).unlink(missing_ok=True)
        self.wake()

    def add(self, user_id: int, form: DownloadForm) -> dict[str, object]:
        """Queue a download and give its object.

        Raises BadRequestError and StateConflictError for one that is under way or there already,
        and TooManyRequestsError when the queue is full.
        """
        asked = Download(
            user_id=user_id,
            source=form.url,
            kind=form.type,
            filename=form.filename,
            overwrite=form.overwrite,
            sha256=form.sha256.lower() or None,
        )
        with self._lock:
            self._refuse_repeated(asked)
            self._refuse_full()
            kept = self._rows.add(asked)
            self.wake()
        return self._shown(kept)

    def cancel(self, url: str, user: User) -> None:
        """End a download by its URL, a user's own or any for an administrator; BadRequestError when none is there."""
        with self._lock:
            for row in self._rows.all(user.scope):
                if row.source == url and row.finished is None:
                    self._rows.end(row.id, CANCELED, downloaded=self._shown_bytes(row))
                    if row.id in self._running:
                        self._running[row.id][0].stop.set()
                    row.part(self._folders).unlink(missing_ok=True)
                    return
        raise BadRequestError(f"Not downloading {url}")

    def mine(self, user_id: int) -> list[dict[str, object]]:
        """Give one user's downloads since the start, the oldest first."""
        return [self._shown(row) for row in self._rows.all(user_id)]

    def counts(self) -> DownloadCounts:
        """Count everybody's."""
        found = self._rows.counts()
        return DownloadCounts(
            active=found.get(RUNNING, 0), queued=found.get(QUEUED, 0), total=sum(found.values())
        )

    def wake(self) -> None:
        """Start what may run now: after a download is added or has ended, and when the settings change."""
        with self._lock:
            while not self._closed and len(self._running) < self._settings().max_concurrent_downloads:
                row = self._rows.claim()
                if row is None:
                    return
                self._start(row)

    def close(self) -> None:
        """Stop what runs, to go on at the next start."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for transfer, _ in running:
            transfer.stop.set()
        deadline = time.monotonic() + STOP_S
        for _, thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, row: Download) -> None:
        transfer = Transfer(
            url=row.source,
            part=row.part(self._folders),
            target=row.target(self._folders),
            overwrite=row.overwrite,
            sha256=row.sha256,
            private=lambda: self._settings().allow_private_downloads,
            note=partial(self._rows.note, row.id),
            validator=row.validator,
            total=row.total,
        )
        thread = threading.Thread(
            target=self._run, args=(row.id, transfer), name=f"download-{row.id}", daemon=True
        )
        self._running[row.id] = (transfer, thread)
        thread.start()

    def _run(self, number: int, transfer: Transfer) -> None:
        try:
            status, error = self._outcome(transfer)
            if status is not None:
                self._rows.end(number, status, downloaded=transfer.downloaded, error=error)
        except Exception:  # noqa: BLE001  # whatever it is, the next download must run
            _log.exception("how download %d ended could not be recorded", number)
        finally:
            with self._lock:
                self._running.pop(number, None)
            self._next()

    def _outcome(self, transfer: Transfer) -> tuple[str | None, str | None]:
        try:
            transfer.run()
        except CancelledError:
            if self._closed:
                return None, None  # it goes on at the next start
            transfer.part.unlink(missing_ok=True)
            return CANCELED, None
        except (StrettoError, OSError) as error:
            _log.warning("the download of %s failed: %s", transfer.target.name, error)
            transfer.part.unlink(missing_ok=True)
            return ERROR, str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this download's alone
            _log.exception("the download of %s failed", transfer.target.name)
            transfer.part.unlink(missing_ok=True)
            return ERROR, f"{type(error).__name__}: {error}"
        return COMPLETE, None

    def _next(self) -> None:
        try:
            self.wake()
        except Exception:  # noqa: BLE001  # the thread has done its own part
            _log.exception("waiting downloads could not be started; the next one that is added starts them")

    def _refuse_repeated(self, asked: Download) -> None:
        for row in self._rows.all():
            if row.finished is not None:
                continue
            if row.source == asked.source:
                raise BadRequestError(f"Already downloading {asked.source}")
            if (row.kind, row.filename) == (asked.kind, asked.filename):
                raise StateConflictError(f"File exists: {asked.filename} is being downloaded")
        if not asked.overwrite and asked.target(self._folders).exists():
            raise StateConflictError(f"File exists: {asked.filename}")

    def _refuse_full(self) -> None:
        settings, counts = self._settings(), self.counts()
        free = max(0, settings.max_concurrent_downloads - len(self._running))
        if counts.queued >= settings.max_queued_downloads + free:
            raise TooManyRequestsError(
                f"Too many requests. {settings.max_queued_downloads} downloads may wait (setting "
                "max_queued_downloads) and do; send this one again when one of them has ended."
            )

    def _shown(self, row: Download) -> dict[str, object]:
        if row.finished is None and row.id in self._running:
            with self._lock:
                found = self._running.get(row.id)
            if found:
                live = found[0]
                row = replace(row, status=RUNNING, downloaded=live.downloaded, total=live.total)
        return row.as_object(self._folders)

    def _shown_bytes(self, row: Download) -> int:
        found = self._running.get(row.id)
        return found[0].downloaded if found else row.downloaded
