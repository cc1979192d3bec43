"""The JSON envelope: meta, data, errors; and how times look in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from stretto.host.errors import InvalidRequestError, StrettoError

__all__ = ["CORS", "MEDIA_TYPE", "errors_of", "failure", "iso_local", "json_text", "success"]

MEDIA_TYPE = "application/vnd.api+json"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD",
    "Access-Control-Allow-Headers": (
        "Origin,X-Requested-Width,Content-Type,Accept,Authorization,X-CSRFToken,X-API-Key"
    ),
}
ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # json.dumps would make one a call


def json_text(value: object) -> str:
    """Write JSON; raises ValueError for NaN, which is no JSON."""
    return ENCODER.encode(value)


def success(
    params: Mapping[str, Sequence[str]],
    data_json: str | bytes,
    count: int | None = None,
    *,
    in_meta: bool = False,
) -> bytes:
    """Wrap JSON (as text or in UTF-8), which is spliced in as it stands; with `in_meta`, in both places."""
    data = data_json if isinstance(data_json, bytes) else data_json.encode()
    counted = "" if count is None else f', "count": {count:d}'
    twice = b', "data": %b' % data if in_meta else b""
    said = f'{{"meta": {{"params": {json_text(params)}{counted}'.encode()
    return b'%b%b}, "data": %b}' % (said, twice, data)


def failure(status: int, title: str, details: Sequence[str]) -> bytes:
    """Give one entry of `errors` for each detail; `status` is a string there."""
    errors = [{"status": str(status), "title": title, "detail": detail} for detail in details]
    return json_text({"errors": errors}).encode()


def errors_of(error: Exception) -> tuple[int, str, tuple[str, ...]]:
    """Give status, title and details of an error; one that is not ours is a 500 under its class's name."""
    if isinstance(error, InvalidRequestError):
        return error.status, error.title, tuple(str(fault) for fault in error.faults)
    if isinstance(error, StrettoError):
        return error.status, error.title, (str(error),)
    return 500, type(error).__name__, (str(error),)


def iso_local(unix_s: float) -> str:
    """Give naive local ISO-8601, with microseconds when they are not zero."""
    return datetime.fromtimestamp(unix_s).isoformat()  # noqa: DTZ006  # local time is what the contract shows
