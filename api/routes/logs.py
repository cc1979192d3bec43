"""What the server logged lately, and what it has to announce."""

from __future__ import annotations

import datetime as dt

from stretto.host.errors import BadRequestError

from ..fields import shown
from ..log_book import BOOK, Wanted
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def list_logs(call: Call) -> Reply:
    """Give administrators the last lines, the newest first (`since`, `level`, `logger`, `search`); others none."""
    params = call.params
    wanted = Wanted(
        since=_moment(params.get("since", [""])[0]),
        levels=params.get("level", []),
        loggers=params.get("logger", []),
        search=params.get("search", [""])[0],
    )
    # a line may hold another user's words, and no rule takes all of them out
    return Data(BOOK.lines(wanted) if call.user.admin else [])


def list_announcements(call: Call) -> Reply:
    """Give nothing: this host asks no other machine for releases, and fetches models only when told to."""
    del call
    return Data([])


def snooze_announcements(call: Call) -> Reply:
    """Take note that nothing is to be announced."""
    del call
    return Data(None)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadRequestError(f"Bad date/time format {shown(text)}; write 2026-01-31T12:00:00") from error


ROUTES = (
    Route("GET", "/api/logs", list_logs),
    Route("GET", "/api/announcements", list_announcements),
    Route("POST", "/api/announcements/snooze", snooze_announcements),
)
