from __future__ import annotations

import logging

import pytest
from stretto.api.log_book import BOOK


@pytest.fixture
def noted(request):
    BOOK.attach()
    name = f"stretto.of.{request.node.name}"
    logger = logging.getLogger(name)
    logger.warning("the first line")
    try:
        int("why")
    except ValueError:
        logger.exception("the second line")
    yield f"/api/logs?logger={name}"
    logging.getLogger().removeHandler(BOOK)


def test_lines_are_given_newest_first_and_by_what_is_asked(still, noted):
    second, first = still.client.get(noted).data
    assert list(first) == ["timestamp", "logger", "level", "file", "line", "content"]
    assert (first["level"], first["file"], first["content"]) == ("WARNING", "test_logs.py", "the first line")
    assert isinstance(first["line"], str)
    assert second["content"].startswith("the second line\nTraceback")
    assert still.client.get(f"{noted}&level=error").data == [second]
    assert still.client.get(f"{noted}&search=FIRST").data == [first]
    assert still.client.get(f"{noted}&since={first['timestamp']}").data == [second, first]
    assert still.client.get(f"{noted}&since=2999-01-01").data == []
    assert "Bad date/time format" in still.client.get("/api/logs?since=bogus").details[0]


def test_users_see_no_lines(signed, noted):
    assert signed.ann.get(noted).data == []
    assert len(signed.admin.get(noted).data) == 2
    assert signed.still.client.get(noted).status == 401


def test_there_is_nothing_to_announce(still):
    assert still.client.get("/api/announcements").data == []
    assert still.client.post("/api/announcements/snooze").data is None
