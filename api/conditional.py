"""Conditional requests for files: entity tags, and the headers that ask by them (RFC 9110, 13)."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

__all__ = ["etag_of", "settled"]

TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag_of(path: Path) -> str | None:
    """Give a file's strong entity tag, quoted, of its time and size; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'


def settled(environ: MutableMapping[str, Any], etag: str) -> bool:
    """Say whether the client has what the tag stands for, which is answered with 304.

    If-None-Match stands before If-Modified-Since (13.1.3), and a Range whose If-Range is another tag,
    or a date, is forgotten (13.1.5): both are taken out of `environ`, for what looks at it next.
    """
    asked = environ.get("HTTP_IF_NONE_MATCH")
    if asked is not None:
        environ.pop("HTTP_IF_MODIFIED_SINCE", None)
        if asked.strip() == "*" or etag in TAG.findall(asked):
            return True
    if environ.get("HTTP_IF_RANGE", etag) != etag:
        environ.pop("HTTP_RANGE", None)
    return False
