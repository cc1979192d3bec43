"""Whether the server lives and takes work, what requests are called, and what need not be sent again."""

from __future__ import annotations

import re
import time

import pytest
from PIL import Image
from stretto.host.settings import Settings

from ..client import FORM, QUICK

NAME = "0123456789abcdef0123456789abcdef_0.png"


def test_a_server_whose_queue_stands_still_lives_and_is_not_ready(still):
    assert still.client.get("/healthz").data == {"status": "ok"}
    answer = still.client.get("/readyz")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.details == ["The queue does not run (yet, or any more); ask again in a moment"]
    still.host.start()
    assert still.client.get("/readyz").data == {"status": "ready", "queued": 0}


def test_both_are_for_anybody(signed):
    stranger = signed.still.client
    assert stranger.get("/healthz").status == 200
    assert stranger.get("/readyz").status == 503
    assert stranger.get("/api").status == 401


@pytest.mark.parametrize("path", ["/healthz", "/api", "/api/nowhere", "/api/invocation/images/none.png"])
def test_a_request_keeps_its_name(still, path):
    answer = still.client.call("GET", path, headers={"X-Request-Id": "a-7/b"})
    assert answer.headers["X-Request-Id"] == "a-7/b"


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129])
def test_a_request_without_a_usable_name_gets_one(still, given):
    headers = FORM if given is None else {**FORM, "X-Request-Id": given}
    names = [still.client.call("GET", "/healthz", headers=headers).headers["X-Request-Id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    assert names[0] != names[1]


def test_what_the_wire_refuses_keeps_its_name_too(still):
    limited = Settings(max_body_bytes=1024)
    still.host.update_settings(limited)
    answer = still.client.call("POST", "/api/invoke", b"x" * 2000, {"X-Request-Id": "large"})
    assert (answer.status, answer.headers["X-Request-Id"]) == (413, "large")


@pytest.mark.parametrize("kind", ["images", "thumbnails", "intermediates"])
def test_a_picture_that_the_client_has_is_not_sent_again(still, kind):
    for folder in (still.folders.images, still.folders.intermediates):
        Image.effect_noise((300, 400), 50).save(folder / NAME)
    path = f"/api/invocation/{kind}/{NAME}"
    first = still.client.get(path)
    tag = first.headers["Etag"]
    assert re.fullmatch('"[0-9a-f]+-[0-9a-f]+"', tag)
    for asked in (tag, f'"other", W/{tag}', "*"):
        again = still.client.call("GET", path, headers={"If-None-Match": asked})
        assert (again.status, again.body, again.headers["Etag"]) == (304, b"", tag)
        assert again.headers.get("Cache-Control") == first.headers.get("Cache-Control")
    # a tag that does not match stands before a date that does
    date = first.headers["Last-Modified"]
    other = still.client.call("GET", path, headers={"If-None-Match": '"other"', "If-Modified-Since": date})
    assert (other.status, other.body) == (200, first.body)
    part = {"Range": "bytes=0-7", "If-Range": tag}
    assert still.client.call("GET", path, headers=part).status == 206
    assert still.client.call("GET", path, headers={**part, "If-Range": '"other"'}).status == 200


def test_a_plan_is_given_and_nothing_is_queued(still):
    plan = still.client.post("/api/plan", QUICK).data
    assert (plan["prompt"], plan["width"], plan["seed"]) == ("a red circle", 64, 1)
    assert still.store.waiting() == 0
    uuid = still.client.post("/api/invoke", QUICK).data["uuid"]
    (row,) = still.client.get(f"/api/invocation-history/{uuid}").data
    assert row["attributes"]["plan"] == plan


def test_a_plan_is_refused_with_every_fault(still):
    answer = still.client.post(
        "/api/plan", {**QUICK, "width": 4, "scheduler": "bogus", "synchronous": "soon"}
    )
    assert answer.status == 400
    assert [detail.partition(":")[0] for detail in answer.details] == ["synchronous", "width", "scheduler"]


def test_waiting_ends_at_the_limit_with_the_state_as_it_is(still):
    still.client.post("/api/settings", {"max_wait_s": 0.2})
    began = time.monotonic()
    answer = still.client.post("/api/invoke", {**QUICK, "synchronous": True})
    assert 0.2 <= time.monotonic() - began < 5
    assert answer.data["status"] == "queued"
    assert answer.headers["Location"] == f"/api/invocation/{answer.data['uuid']}"
    refused = still.client.post("/api/invoke", {**QUICK, "synchronous": 3, "width": 4})
    assert refused.status == 400
    assert len(refused.details) == 2
