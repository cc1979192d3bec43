from __future__ import annotations

import hashlib
import shutil
import time
from types import SimpleNamespace

import pytest
from stretto.api import transfer

from ..client import Process
from ..stand_in import standing_in, weights

FILE = weights(300_000)


@pytest.fixture
def away():
    with standing_in() as other:
        other.files["/a.safetensors"] = FILE
        yield other


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(transfer, "WAIT_S", 0.01)


@pytest.fixture
def client(still, quick):
    still.client.post("/api/settings", {"allow_private_downloads": True})
    return still.client


def ask(client, away, path="/a.safetensors", **more):
    return client.post("/api/download", {"type": "checkpoint", "url": away.url + path, **more})


def until(client, *statuses, count=1):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        rows = client.get("/api/download").data
        if len([row for row in rows if row["status"] in statuses]) >= count:
            return rows
        time.sleep(0.02)
    raise AssertionError(rows)


def hidden(still):
    return [path.name for path in still.folders.model_folder("checkpoint").iterdir() if path.name[0] == "."]


def test_a_file_comes_whole_and_is_listed(client, still, away):
    made = ask(client, away, sha256=hashlib.sha256(FILE).hexdigest()).data
    assert list(made) == [
        "id", "status", "source", "destination", "filename", "elapsed", "downloaded", "total"
    ]  # fmt: skip
    (row,) = until(client, "complete", "error")
    target = still.folders.model_folder("checkpoint") / "a.safetensors"
    assert row["status"] == "complete", row
    assert row["destination"] == str(target)
    assert row["downloaded"] == row["total"] == len(FILE)
    assert target.read_bytes() == FILE
    assert not hidden(still)
    assert "a.safetensors" in client.get("/api/checkpoints").data
    assert client.get("/api").data["system"]["downloads"] == {"active": 0, "queued": 0, "total": 1}
    assert ask(client, away).details == ["File exists: a.safetensors"]
    assert ask(client, away).status == 409
    assert ask(client, away, overwrite=True).status == 200


@pytest.mark.both_databases
def test_what_breaks_off_goes_on_where_it_was(client, still, away):
    away.faults["/a.safetensors"] = ["503", "break", "break"]
    ask(client, away)
    (row,) = until(client, "complete", "error")
    assert row["status"] == "complete", row
    assert away.ranges("/a.safetensors")[:2] == [None, None]
    assert away.ranges("/a.safetensors")[2] == f"bytes={len(FILE) // 2}-"
    assert (still.folders.model_folder("checkpoint") / "a.safetensors").read_bytes() == FILE


def test_a_failure_says_why_and_stops_no_other(client, still, away):
    away.files |= {"/page.safetensors": b"<html>log in</html>", "/page.ckpt": b"<!DOCTYPE html>"}
    away.files["/cut.safetensors"] = FILE[:-9]
    away.faults["/away.ckpt"] = ["to ftp://127.0.0.1/away.ckpt"]
    for path in ("/page.safetensors", "/page.ckpt", "/cut.safetensors", "/none.ckpt", "/away.ckpt"):
        assert ask(client, away, path).status == 200
    ask(client, away, sha256="0" * 64, filename="b.safetensors")
    rows = {row["filename"]: row for row in until(client, "error", count=6)}
    assert "web page" in rows["page.safetensors"]["error"]
    assert "web page" in rows["page.ckpt"]["error"]
    assert "not a whole safetensors file" in rows["cut.safetensors"]["error"]
    assert "404" in rows["none.ckpt"]["error"]
    assert "http or https" in rows["away.ckpt"]["error"]
    assert "SHA-256" in rows["b.safetensors"]["error"]
    assert list(still.folders.model_folder("checkpoint").iterdir()) == []
    ask(client, away)
    until(client, "complete")


@pytest.mark.both_databases
def test_how_many_run_and_wait_follows_the_settings_at_once(client, away):
    client.post("/api/settings", {"max_concurrent_downloads": 1, "max_queued_downloads": 1})
    for name in "abc":
        away.files[f"/{name}.safetensors"] = FILE
        away.faults[f"/{name}.safetensors"] = ["hold"]
    assert ask(client, away, "/a.safetensors").status == 200
    assert ask(client, away, "/b.safetensors").status == 200
    full = ask(client, away, "/c.safetensors")
    assert full.status == 429
    assert "Retry-After" in full.headers
    assert ask(client, away, "/a.safetensors").details == [f"Already downloading {away.url}/a.safetensors"]
    assert client.get("/api").data["system"]["downloads"] == {"active": 1, "queued": 1, "total": 2}
    client.post("/api/settings", {"max_concurrent_downloads": 2})
    assert client.get("/api").data["system"]["downloads"] == {"active": 2, "queued": 0, "total": 2}
    away.gate.set()
    until(client, "complete", count=2)


@pytest.mark.both_databases
def test_cancelling_throws_away_what_came(client, still, away):
    away.faults["/a.safetensors"] = ["hold"]
    ask(client, away)
    url = f"{away.url}/a.safetensors"
    until(client, "downloading")
    assert client.post("/api/download/cancel", {"url": url}).data is None
    assert client.get("/api/download").data[0]["status"] == "canceled"
    again = client.post("/api/download/cancel", {"url": url})
    assert (again.status, again.details) == (400, [f"Not downloading {url}"])
    assert client.post("/api/download/cancel", {}).status == 400
    away.gate.set()
    deadline = time.monotonic() + 60
    while hidden(still) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(still.folders.model_folder("checkpoint").iterdir()) == []


def test_a_full_disk_is_said(client, away, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=transfer.RESERVE_BYTES + 1))
    ask(client, away)
    (row,) = until(client, "error")
    assert "make room" in row["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"url": "https://example.com/a.ckpt"}, "Missing required argument 'type'"),
        ({"type": "lora"}, "Missing required argument 'url'"),
        ({"type": "../lora", "url": "https://example.com/a.ckpt"}, "type"),
        ({"type": "lora", "url": "https://example.com/a.ckpt", "sha256": "abc"}, "sha256"),
        ({"type": "lora", "url": "https://example.com/"}, "filename"),
        ({"type": "lora", "url": "https://example.com/%2e%2e%2fa.py"}, "filename"),
        *(
            ({"type": "lora", "url": "https://example.com/a", "filename": name}, "filename")
            for name in ("../a.ckpt", "/etc/a.ckpt", "a/b.ckpt", "..\\a.ckpt", ".a.ckpt", "a.py", "a\0.ckpt", "-a.ckpt")
        ),
    ],
)  # fmt: skip
def test_other_words_are_refused(client, body, said):
    answer = client.post("/api/download", body)
    assert answer.status == 400
    assert said in answer.details[0]
    assert client.get("/api/download").data == []


def test_users_look_and_administrators_fetch(signed):
    body = {"type": "lora", "url": "https://example.com/a.ckpt"}
    for path in ("/api/download", "/api/download/cancel"):
        assert signed.ann.post(path, body).status == 403
        assert signed.still.client.post(path, body).status == 401
    assert signed.ann.get("/api/download").data == []


def test_downloads_go_on_after_the_server_was_killed(tmp_path, away):
    away.faults["/a.safetensors"] = ["hold"]
    server = Process(tmp_path)
    server.start()
    server.client.post("/api/settings", {"allow_private_downloads": True, "max_concurrent_downloads": 1})
    away.files["/b.safetensors"] = FILE
    ask(server.client, away)
    ask(server.client, away, "/b.safetensors")
    deadline = time.monotonic() + 90
    while not server.client.get("/api/download").data[0]["downloaded"] and time.monotonic() < deadline:
        time.sleep(0.02)
    server.stop(9)
    away.gate.set()
    server.start()
    rows = until(server.client, "complete", "error", count=2)
    assert [row["status"] for row in rows] == ["complete", "complete"], rows
    first, second = away.ranges("/a.safetensors")
    # all that had reached the disk is kept, which is at most what was sent
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(FILE) // 2
    for name in ("a.safetensors", "b.safetensors"):
        assert (server.data / "models" / "checkpoint" / name).read_bytes() == FILE
    assert server.stop() == 0
