"""Input images: what is taken, what is refused, and where it ends up."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from stretto.api.inbox import ImageInbox
from stretto.host.errors import InvalidRequestError
from stretto.host.settings import Settings


def encoded(image, fmt="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def uri(data, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def inbox(folders):
    return ImageInbox(folders, Settings(max_image_pixels=10_000), [folders.images, folders.inputs])


def refused(inbox, source):
    with pytest.raises(InvalidRequestError) as caught:
        inbox.take(source, "nodes[1].image")
    (fault,) = caught.value.faults
    assert fault.field == "nodes[1].image"
    assert len(fault.message) < 400
    return fault.message


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_every_format_becomes_a_png_by_content(inbox, folders, fmt):
    data = encoded(Image.new("RGB", (12, 7), "red"), fmt)
    ref = inbox.take(uri(data, "application/octet-stream"), "image")
    digest = hashlib.sha256(data).hexdigest()
    assert ref.sha256 == digest
    assert Path(ref.path) == folders.inputs.resolve() / f"{digest}.png"
    with Image.open(ref.path) as stored:
        assert stored.format == "PNG"
        assert (
            (stored.width, stored.height, stored.mode) == (ref.width, ref.height, ref.mode) == (12, 7, "RGB")
        )


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("1", "L"), ("L", "L"), ("LA", "RGBA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("I;16", "L")],
)
def test_modes_are_those_that_the_host_works_with(inbox, mode, kept):
    assert inbox.take(uri(encoded(Image.new(mode, (4, 4)))), "image").mode == kept


def test_16_bit_grey_is_scaled_not_clipped(inbox):
    ref = inbox.take(uri(encoded(Image.new("I;16", (4, 4), 0x8000))), "image")
    with Image.open(ref.path) as stored:
        assert stored.getpixel((0, 0)) == 128


def test_a_transparent_palette_keeps_its_transparency(inbox):
    image = Image.new("P", (4, 4), 0)
    assert inbox.take(uri(encoded(image, transparency=0)), "image").mode == "RGBA"


def test_a_turned_photograph_is_set_upright(inbox):
    exif = Image.Exif()
    exif[0x0112] = 6
    ref = inbox.take(uri(encoded(Image.new("RGB", (12, 7)), "JPEG", exif=exif)), "image")
    assert (ref.width, ref.height) == (7, 12)


def test_the_same_picture_is_stored_once(inbox, folders):
    data = uri(encoded(Image.new("RGB", (5, 5), "blue")))
    first = inbox.take(data, "image")
    before = Path(first.path).stat()
    os.utime(first.path, (1, 1))
    assert inbox.take(data, "mask") == first
    after = Path(first.path).stat()
    assert after.st_ino == before.st_ino
    assert after.st_mtime > 1  # a sweep sees that it was sent again
    assert len(list(folders.inputs.iterdir())) == 1


def test_line_breaks_in_base64_are_allowed(inbox):
    text = base64.encodebytes(encoded(Image.new("RGB", (5, 5)))).decode()
    assert inbox.take(f"data:image/png;base64,{text}", "image").width == 5


def bomb(width, height):
    """A PNG that declares many pixels and holds none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


WHOLE = encoded(Image.effect_noise((64, 64), 50))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("data:image/png,xyz", "is not a base64 data URI"),
        ("data:image/png;base64", "is not a base64 data URI"),
        ("data:image/png;base64,", "is not a readable picture"),
        ("data:image/png;base64,A", "holds broken base64"),
        ("data:image/png;base64,@@@@", "holds broken base64"),
        ("data:image/png;base64,ÄÖÜ=", "holds broken base64"),
        (uri(b"hello"), "is not a readable picture (unknown format)"),
        (uri(WHOLE[: len(WHOLE) // 2]), "is not a readable picture"),
        (uri(WHOLE[:200] + b"\0" * 400 + WHOLE[600:]), "is not a readable picture"),
        (uri(encoded(Image.new("RGB", (8, 8)), "TIFF")), "is not a readable picture (unknown format)"),
        (uri(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "unknown format"),
        (uri(encoded(Image.new("RGB", (101, 100)))), "is 101 x 100 pixels; at most 10000"),
        (uri(bomb(9000, 9000)), "is 9000 x 9000 pixels; at most 10000"),
        (uri(bomb(30000, 30000)), "is not a readable picture"),
        (uri(bomb(2**31 - 1, 2**31 - 1)), "is not a readable picture"),
        ("https://example.org/cat.png", "is not a file in the folders images, inputs"),
        ("", "is not a file"),
        ("x" * 100_000, "is not a file"),
        ("images/\0.png", "is not a file"),
        ("images", "is not a file"),
        ("/etc/passwd", "is not a file in the folders images, inputs of the data directory"),
        ("images/../stretto.db", "is not a file"),
        ("images/../../../etc/passwd", "is not a file"),
    ],
)
def test_refusals_name_the_field_and_say_what_would_do(inbox, folders, source, words):
    (folders.root / "stretto.db").write_bytes(b"SQLite format 3\0")
    assert words in refused(inbox, source)
    assert not list(folders.inputs.iterdir())


def test_missing_and_forbidden_files_look_the_same(inbox, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(Image.new("RGB", (4, 4))))
    there = refused(inbox, str(secret)).replace("secret", "NAME")
    absent = refused(inbox, str(tmp_path / "absent.png")).replace("absent", "NAME")
    assert there == absent


@pytest.mark.parametrize("absolute", [True, False])
def test_pictures_of_the_data_directory_are_taken(inbox, folders, absolute):
    picture = folders.images / "done_0.png"
    picture.write_bytes(encoded(Image.new("RGB", (6, 4))))
    ref = inbox.take(str(picture) if absolute else "images/done_0.png", "image")
    assert (ref.width, ref.height) == (6, 4)


def test_a_link_out_of_the_folder_is_refused(inbox, folders, tmp_path):
    (tmp_path / "secret.png").write_bytes(encoded(Image.new("RGB", (4, 4))))
    (folders.images / "link.png").symlink_to(tmp_path / "secret.png")
    assert "is not a file" in refused(inbox, "images/link.png")


def test_a_fifo_is_refused(inbox, folders):
    os.mkfifo(folders.images / "pipe.png")
    assert "is not a file" in refused(inbox, "images/pipe.png")


def test_a_large_file_is_refused(folders):
    inbox = ImageInbox(folders, Settings(max_body_bytes=2048), [folders.images])
    (folders.images / "large.png").write_bytes(b"x" * 2049)
    assert "has more than 2048 bytes" in refused(inbox, "images/large.png")


def test_the_command_may_read_any_folder(folders, tmp_path, monkeypatch):
    inbox = ImageInbox(folders, Settings(), None)
    (tmp_path / "mine.png").write_bytes(encoded(Image.new("RGB", (6, 4))))
    monkeypatch.chdir(tmp_path)
    assert inbox.take("mine.png", "image") == inbox.take(str(tmp_path / "mine.png"), "image")
    assert "is not a file in any folder" in refused(inbox, "absent.png")
