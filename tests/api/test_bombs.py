"""Bodies, headers and pictures that are small to send and would be large to hold: each is answered soon, and never by 500."""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib
from base64 import b64encode
from io import BytesIO

import pytest
from PIL import Image
from stretto.host.settings import Settings

from .client import QUICK
from .stand_in import weights

MIB = 2**20
SOON_S = 10.0  # of a loaded machine; what is not bounded takes minutes


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body


def frames(count: int) -> bytes:
    made = BytesIO()
    first, *others = [Image.new("L", (64, 64), index % 256) for index in range(count)]
    first.save(made, "GIF", save_all=True, append_images=others)
    return made.getvalue()


def sized(fmt: str, at: int, form: str, *size: int) -> bytes:
    """A real file of a format that says another size of itself."""
    made = BytesIO()
    Image.new("RGB", (16, 16)).save(made, fmt)
    raw = bytearray(made.getvalue())
    struct.pack_into(form, raw, at, *size)
    return bytes(raw)


def jpeg(width: int, height: int) -> bytes:
    made = BytesIO()
    Image.new("RGB", (16, 16)).save(made, "JPEG")
    raw = bytearray(made.getvalue())
    struct.pack_into(">HH", raw, raw.index(b"\xff\xc0") + 5, height, width)
    return bytes(raw)


LONG = zlib.compress(bytes(64 * MIB), 9)
PICTURES = {
    "pixels": png(30000, 30000),
    "most pixels": png(2**31 - 1, 2**31 - 1),
    "no pixels": png(0, 0),
    "a line": png(64 * 10**6 + 1, 1),
    "compressed text": png(8, 8, chunk(b"zTXt", b"a\0\0" + LONG), data=bytes(8 * 25)),
    "international text": png(8, 8, chunk(b"iTXt", b"a\0\1\0\0\0" + LONG), data=bytes(8 * 25)),
    "colour profile": png(8, 8, chunk(b"iCCP", b"a\0\0" + LONG), data=bytes(8 * 25)),
    "more data than pixels": png(8, 8, data=bytes(64 * MIB)),
    "chunk of 4 GB": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR",
    "gif screen": sized("GIF", 6, "<HH", 65535, 65535),
    "bmp": sized("BMP", 18, "<ii", 2**31 - 1, 2**31 - 1),
    "bmp upwards": sized("BMP", 18, "<ii", 60000, -60000),
    "jpeg": jpeg(65500, 65500),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "tar of pictures": b"a.png".ljust(512, b"\0") + png(8, 8, data=bytes(8 * 25)),
}


def test_pictures(still):
    for name, picture in PICTURES.items():
        check_picture(still, name, "data:image/png;base64," + b64encode(picture).decode())


def check_picture(still, name, uri):
    began = time.perf_counter()
    for field in ("image", "control_image"):
        answer = still.client.post("/api/plan", {**QUICK, "controlnet": "canny", field: uri})
    assert answer.status == 400 or name in (
        "international text",
        "compressed text",
        "colour profile",
        "more data than pixels",
    )
    assert time.perf_counter() - began < SOON_S
    for file in still.folders.inputs.iterdir():
        with Image.open(file) as kept:
            assert kept.size == (8, 8)
            assert kept.info == {}


def test_only_the_first_of_many_frames_is_kept(still):
    uri = "data:image/gif;base64," + b64encode(frames(2000)).decode()
    assert still.client.post("/api/plan", {**QUICK, "image": uri}).status == 200
    (file,) = still.folders.inputs.iterdir()
    with Image.open(file) as kept:
        assert (kept.format, kept.size, getattr(kept, "n_frames", 1)) == ("PNG", (64, 64), 1)


BODIES = {
    "lists in lists": b"[" * MIB,
    "closed lists": b'{"prompt": ' + b"[" * 50000 + b"]" * 50000 + b"}",
    "objects in objects": b'{"a":' * 100000,
    "nodes in nodes": b'{"nodes": [' * 5000 + b"]}" * 5000,
    "digits": b'{"width": ' + b"9" * 100000 + b"}",
    "exponent": b'{"width": 1e999999}',
    "keys": b"{" + b",".join(b'"k%d": 0' % index for index in range(200000)) + b"}",
    "the same key": b"{" + b",".join(b'"prompt": "a"' for _ in range(100000)) + b"}",
    "nodes": b'{"nodes": [' + b",".join(b"{}" for _ in range(100000)) + b"]}",
    "adapters": b'{"lora": [' + b",".join(b'"a"' for _ in range(100000)) + b"]}",
    "a long prompt": json.dumps({"prompt": "x" * 10 * MIB}).encode(),
    "brackets in a prompt": json.dumps({"prompt": "(" * 5000 + "a" + ")" * 5000}).encode(),
    "weights in a prompt": json.dumps({"prompt": "(a:1.1)" * 20000}).encode(),
    "half characters": b'{"prompt": "\\ud800"}',
    "no unicode": b'{"prompt": "\xff\xfe"}',
    "another encoding": '{"prompt": "a"}'.encode("utf-16"),
    "zeros": bytes(MIB),
    "blanks": b" " * MIB,
    "no numbers": b'{"width": NaN, "height": -Infinity}',
}


@pytest.mark.parametrize("path", ["/api/plan", "/api/settings", "/api/models", "/api/login"])
def test_bodies(still, path):
    for name, body in BODIES.items():
        began = time.perf_counter()
        answer = still.client.post(path, body)
        assert answer.status in (200, 400, 401, 413, 429), name
        assert len(answer.body) < MIB, name
        assert time.perf_counter() - began < SOON_S, name


def part(name: str, head: str = "", content: bytes = b"") -> bytes:
    return (
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"{head}\r\n\r\n'.encode() + content + b"\r\n"
    )


FILE = weights(64)
LAST = b"--xyz--\r\n"
FORMS = {
    "many parts": part("a") * 50000 + part("file", '; filename="a.safetensors"', FILE) + LAST,
    "a long head": part("file", '; filename="a.safetensors"; x="' + "x" * MIB + '"', FILE) + LAST,
    "many heads": b"--xyz\r\n" + b"A: b\r\n" * 100000 + b"\r\n" + FILE + LAST,
    "a long boundary": b"--" + b"x" * MIB + b"\r\n",
    "no end": part("file", '; filename="a.safetensors"', bytes(8 * MIB))[:-2],
    "ends that are none": part("file", '; filename="a.safetensors"', b"\r\n--xy" * MIB),
    "a name in another charset": part("file", "; filename*=UTF-8''..%2f..%2fa.safetensors", FILE) + LAST,
    "two names": part("file", '; filename="b.safetensors"; filename="../a.safetensors"', FILE) + LAST,
    "a folder": part("file", '; filename="/tmp/a.safetensors"', FILE) + LAST,
    "a folder of another system": part("file", '; filename="C:\\\\a.safetensors"', FILE) + LAST,
    "a hidden file": part("file", '; filename=".a.safetensors"', FILE) + LAST,
    "a name with an end": part("file", '; filename="a.safetensors\0.py"', FILE) + LAST,
    "a name of two lines": part("file", '; filename="a\r\n b.safetensors"', FILE) + LAST,
    "a long name": part("file", f'; filename="{"a" * 300}.safetensors"', FILE) + LAST,
    "a nested form": part("file", "", b"--abc\r\n" + part("file", '; filename="a.safetensors"', FILE)) + LAST,
    "a header that promises more": part("file", '; filename="a.safetensors"', struct.pack("<Q", 2**62) + b"{}") + LAST,
    "a header of nothing": part("file", '; filename="a.safetensors"', bytes(8)) + LAST,
    "nothing": part("file", '; filename="a.safetensors"') + LAST,
}  # fmt: skip


def test_forms(still):
    for name, body in FORMS.items():
        began = time.perf_counter()
        answer = still.client.call("POST", "/api/installation/lora", body)
        assert answer.status == 400, (name, answer.body)
        assert time.perf_counter() - began < SOON_S, name
        assert list(still.folders.model_folder("lora").iterdir()) == [], name


def test_a_form_over_the_limit(still):
    still.host.update_settings(Settings(max_body_bytes=MIB))
    body = part("file", '; filename="a.safetensors"', bytes(MIB)) + LAST
    assert still.client.call("POST", "/api/installation/lora", body).status == 413
    assert list(still.folders.model_folder("lora").iterdir()) == []


LINE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/settings HTTP/1.1\r\nHost: x\r\n"
SECOND = b"DELETE /api/models/mine HTTP/1.1\r\nHost: x\r\n\r\n"
# what is sent, and the statuses that serve
HEADS = {
    "a header over the limit": (LINE + b"A: " + b"x" * 300_000 + b"\r\n\r\n", {"431"}),
    "headers over the limit": (LINE + b"A: b\r\n" * 60_000 + b"\r\n", {"431"}),
    "a path over the limit": (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {"431"}),
    "a long path": (b"GET /api/models/" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {"404"}),
    "a long query": (b"GET /api/users?filter=" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {"400"}),
    "many fields": (b"GET /api/users?" + b"sort=id&" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {"400"}),
    "many headers": (LINE + b"A: b\r\n" * 20_000 + b"\r\n", {"200"}),
    "a long cookie": (LINE + b"Cookie: enfugue_token=" + b"x" * 200_000 + b"\r\n\r\n", {"200"}),
    "a long token": (LINE.replace(b"/healthz", b"/self") + b"Authorization: Bearer " + b"x" * 200_000 + b"\r\n\r\n", {"200"}),
    "many wishes": (LINE + b"Accept: " + b"a/b;q=0.1," * 20_000 + b"\r\n\r\n", {"200"}),
    "a header of two lines": (LINE + b"A: b\r\n c\r\n\r\n", {"200", "400"}),
    "a header with an end": (LINE + b"A: b\0c\r\n\r\n", {"200", "400"}),
    "no colon": (LINE + b"abc\r\n\r\n", {"400"}),
    "a blank before the colon": (POST + b"Content-Length : 2\r\n\r\n{}", {"400"}),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + SECOND, {"400"}),
    "a length in words": (POST + b"Content-Length: +2\r\n\r\n{}" + SECOND, {"400"}),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n{}" + SECOND, {"400"}),
    "a length and chunks": (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND, {"400"}),
    "another encoding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND, {"501", "400"}),
    "a chunk of no size": (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", {"400"}),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {"400"}),
    "another version": (b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", {"200", "400", "505"}),
}  # fmt: skip


def answered(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while more := sock.recv(65536):
            data += more
    return data


def test_heads(still):
    assert still.client.post("/api/models", {"name": "mine", "checkpoint": "starter"}).status == 200
    for name, (sent, statuses) in HEADS.items():
        began = time.perf_counter()
        data = answered(still.client.port, sent)
        assert data.startswith(b"HTTP/1."), (name, data[:80])
        status = data.split(b" ")[1].decode()
        assert status in statuses, name
        assert b"application/vnd.api+json" in data.partition(b"\r\n\r\n")[0], name
        assert time.perf_counter() - began < SOON_S, name
        # what stands behind a call that is refused is not read as another
        assert still.client.get("/api/models/mine").status == 200, name
