"""Pictures by name, and nothing else by any name."""

from __future__ import annotations

import os
import socket
import time

import pytest
from PIL import Image

NAME = "0123456789abcdef0123456789abcdef_0.png"
YEAR = "max-age=31536000"


@pytest.fixture
def picture(still):
    path = still.folders.images / NAME
    Image.effect_noise((300, 400), 50).save(path)
    (still.folders.intermediates / NAME).write_bytes(path.read_bytes())
    return path


@pytest.mark.parametrize(("folder", "cache"), [("images", YEAR), ("intermediates", None)])
def test_a_picture(still, picture, folder, cache):
    answer = still.client.get(f"/api/invocation/{folder}/{NAME}")
    assert answer.status == 200
    assert answer.body == picture.read_bytes()
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == f'inline; filename="{NAME}"'
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers.get("Cache-Control") == cache


def test_head_and_ranges(still, picture):
    head = still.client.call("HEAD", f"/api/invocation/images/{NAME}")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == picture.stat().st_size
    part = still.client.call("GET", f"/api/invocation/images/{NAME}", headers={"Range": "bytes=0-7"})
    assert (part.status, part.body) == (206, b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("accept", ["*/*", "application/problem+json"])
def test_a_range_beyond_the_end_is_answered_with_the_size(still, picture, accept):
    asked = {"Range": "bytes=999999999-", "Accept": accept}
    answer = still.client.call("GET", f"/api/invocation/images/{NAME}", headers=asked)
    size = picture.stat().st_size
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert answer.json.get("status", answer.json.get("errors", [{}])[0].get("status")) in (416, "416")
    assert f"is no part of the file's {size} bytes" in answer.body.decode()
    assert "Cache-Control" not in answer.headers
    tag = {**asked, "If-Range": '"another"'}  # of another file, so the range is none
    assert still.client.call("GET", f"/api/invocation/images/{NAME}", headers=tag).status == 200


def test_thumbnails_are_200_high_and_cached(still, picture):
    path = f"/api/invocation/thumbnails/{NAME}"
    answer = still.client.get(path)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == YEAR
    small = still.folders.thumbnails / NAME
    with Image.open(small) as image:
        assert image.size == (150, 200)
    assert small.read_bytes() == answer.body
    stamp = small.stat().st_mtime_ns
    still.client.get(path)
    assert small.stat().st_mtime_ns == stamp
    Image.new("L", (200, 100)).save(picture)
    os.utime(picture, ns=(stamp + 10**9, stamp + 10**9))
    still.client.get(path)
    with Image.open(small) as image:
        assert image.size == (400, 200)
    assert [entry.name for entry in still.folders.thumbnails.iterdir()] == [NAME]


def test_withheld_pictures_have_a_stand_in(still):
    answer = still.client.get("/api/invocation/nsfw")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Cache-Control"] == YEAR
    assert b'width="512" height="512"' in answer.body


@pytest.mark.parametrize("folder", ["images", "intermediates", "thumbnails"])
def test_unknown_pictures_are_404(still, folder):
    answer = still.client.get(f"/api/invocation/{folder}/nothing.png")
    assert answer.status == 404
    assert answer.details == ["No image at nothing.png"]


def raw_get(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        data = b""
        while more := sock.recv(65536):
            data += more
    return data


ESCAPES = [
    "../stretto.db",
    "../../data/stretto.db",
    "..%2fstretto.db",
    "%2e%2e/stretto.db",
    "%2e%2e%2fstretto.db",
    "..%5cstretto.db",
    "%2e%2e%5cstretto.db",
    "..%252fstretto.db",
    "./../stretto.db",
    "x/../../stretto.db",
    "..",
    ".",
    "%2e%2e",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "/proc/self/environ",
    "stretto.db%00.png",
    "%00",
    ".hidden.png",
    "link.png",
    "out/stretto.db",
    "folder",
    "%ff%fe.png",
    "%0d%0aSet-Cookie:x",
    "a" * 5000,
    "",
]


@pytest.mark.parametrize("folder", ["images", "intermediates", "thumbnails"])
def test_no_way_out(still, folder):
    root = still.folders.root
    assert (root / "stretto.db").read_bytes().startswith(b"SQLite format 3")
    for place in (still.folders.images, still.folders.intermediates):
        (place / ".hidden.png").write_bytes(b"hidden")
        (place / "folder").mkdir()
        (place / "link.png").symlink_to(root / "stretto.db")
        (place / "out").symlink_to(root)
    for escape in ESCAPES:
        data = raw_get(still.client.port, f"/api/invocation/{folder}/{escape}")
        assert data.split(b" ")[1] in {b"404", b"400"}, escape
        assert b"SQLite" not in data, escape
        assert b"root:" not in data, escape
        assert b"Set-Cookie" not in data.split(b"\r\n\r\n")[0], escape


def test_a_picture_is_served_quickly(still, picture):
    began = time.perf_counter()
    for _ in range(50):
        assert still.client.get(f"/api/invocation/images/{NAME}").status == 200
    assert time.perf_counter() - began < 10  # of a loaded machine; alone it takes a tenth of a second
