"""One file from a URL to a folder: in pieces, resumed where it broke off, checked, and whole or not there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from stretto.host.errors import CancelledError, StateConflictError, UpstreamError, WeightsError

from .arrivals import inspect
from .http_client import broken, opened

__all__ = ["Transfer"]

CHUNK_BYTES = 2**20
RESERVE_BYTES = 2**28  # stays free on the disk, for pictures and the database
TRIES = 5  # in a row that bring nothing
WAIT_S = 1.0  # before the second try; twice as long before each one more
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


@dataclass(slots=True, kw_only=True)
class Transfer:
    """A download under way; `downloaded` and `total` (bytes) are for others to read.

    `validator` is the server's word for the content that the part file is a piece of, and `note`
    is called when it is known, so that the rest can be asked for after a restart.
    """

    url: str
    part: Path
    target: Path
    overwrite: bool
    sha256: str | None
    private: Callable[[], bool]
    note: Callable[[str | None, int | None], None]
    validator: str | None = None
    downloaded: int = 0
    total: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Bring the file into its place.

        Raises UpstreamError, BadRequestError for an address that is not read from, WeightsError for
        content that is not what it should be, OSError, and CancelledError when `stop` was set.
        """
        failures = 0
        while True:
            before = self.downloaded
            try:
                self._take()
                break
            except UpstreamError as error:
                failures = failures + 1 if self.downloaded <= before else 1
                if not error.again or failures >= TRIES:
                    raise
            if self.stop.wait(WAIT_S * 2 ** (failures - 1)):
                raise _stopped()
        self._check()
        self._place()

    def _take(self) -> None:
        start = self.part.stat().st_size if self.validator and self.part.exists() else 0
        asked = {"Accept-Encoding": "identity"}
        if start and self.validator:
            asked |= {"Range": f"bytes={start}-", "If-Range": self.validator}
        with opened(self.url, asked, private=self.private()) as response:
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._ended(start, int(found[2]) if found else None)
                return
            resumed = response.status == HTTPStatus.PARTIAL_CONTENT
            if resumed and (not start or found is None or found[1] != str(start)):
                self._forget()
                raise UpstreamError(f"{_host(self.url)} sends another part than was asked for", again=True)
            _refuse_failure(response, self.url)
            if not resumed:
                start = 0
                self.validator = _validator(response)
            length = response.length
            self.total = None if length is None else start + length
            self.note(self.validator, self.total)
            self._write(response, start)
        if self.total is not None and self.downloaded != self.total:
            raise UpstreamError(f"{_host(self.url)} sent {self.downloaded} of {self.total} bytes", again=True)

    def _ended(self, start: int, size: int | None) -> None:
        # what there is is all of it, or nothing of the file that is there now
        if size != start or not start:
            self._forget()
            raise UpstreamError(f"{_host(self.url)} has no rest of the file", again=True)
        self.downloaded = self.total = start

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator, self.downloaded = None, 0

    def _write(self, response: HTTPResponse, start: int) -> None:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        with self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            self.downloaded = start
            self._refuse_full((self.total or 0) - start)
            while data := _piece(response, self.url):
                if self.stop.is_set():
                    raise _stopped()
                self._refuse_full(len(data))
                file.write(data)
                self.downloaded += len(data)

    def _refuse_full(self, more: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if free - more < RESERVE_BYTES:
            raise OSError(
                f"{more} more bytes do not fit on the disk of {self.part.parent}: {free} are free, "
                f"and {RESERVE_BYTES} are to stay so; make room"
            )

    def _check(self) -> None:
        if self.sha256 is not None:
            digest = hashlib.sha256()
            with self.part.open("rb") as file:
                while data := file.read(CHUNK_BYTES):
                    if self.stop.is_set():
                        raise _stopped()
                    digest.update(data)
            if digest.hexdigest() != self.sha256.lower():
                raise WeightsError(
                    f"{self.target.name} has the SHA-256 {digest.hexdigest()}, and {self.sha256.lower()} was "
                    "asked for; it is thrown away"
                )
        inspect(self.part, self.target)

    def _place(self) -> None:
        if self.stop.is_set():
            raise _stopped()
        if os.path.lexists(self.target) and not self.overwrite:
            raise StateConflictError(f"File exists: {self.target.name}")
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        self.part.replace(self.target)


def _piece(response: HTTPResponse, url: str) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, HTTPException) as error:
        raise broken(_host(url), error) from error


def _refuse_failure(response: HTTPResponse, url: str) -> None:
    status = response.status
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        again = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.REQUEST_TIMEOUT,
        )
        why = "; it wants a login or a key" if status in (401, 403) else ""
        raise UpstreamError(f"{_host(url)} answers {status} {response.reason}{why}", again=again)
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise UpstreamError(
            f"{_host(url)} sends the file encoded as {coding[:20]!r}, which was not asked for"
        )


def _validator(response: HTTPResponse) -> str | None:
    # RFC 9110, 13.1.5: a weak tag does not say that bytes are the same
    tag = response.headers.get("ETag", "")
    return (tag if tag.startswith('"') else None) or response.headers.get("Last-Modified")


def _host(url: str) -> str:
    return url.split("/")[2]


def _stopped() -> CancelledError:
    return CancelledError("The download was stopped")
