"""A name for each request, the client's own where it sent one, so that answers and logs can be matched."""

from __future__ import annotations

import re
import uuid
from collections.abc import MutableMapping
from typing import Any

__all__ = ["REQUEST_ID", "request_id", "usable"]

REQUEST_ID = "X-Request-Id"
USABLE = re.compile(r"[\x21-\x7e]{1,128}")
KEPT = "stretto.request_id"


def usable(given: str | None) -> str:
    """Give what the client sent if it is 1 to 128 visible ASCII characters, or else 32 new hex digits."""
    return given if given is not None and USABLE.fullmatch(given) else uuid.uuid4().hex


def request_id(environ: MutableMapping[str, Any]) -> str:
    """Give the request's name; the same at every call for one WSGI environment."""
    found: str | None = environ.get(KEPT)
    if found is None:
        found = environ[KEPT] = usable(environ.get("HTTP_X_REQUEST_ID"))
    return found
