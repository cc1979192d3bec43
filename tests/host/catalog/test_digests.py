"""Whole files' SHA-256: right, read once, read again when the file is another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from stretto.host.catalog.digests import Digests


def test_a_file_is_read_once_by_whoever_asks(tmp_path: Path) -> None:
    file, memory = tmp_path / "a.safetensors", tmp_path / "cache" / "sha256.json"
    file.write_bytes(b"a" * 3_000_000)
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    assert Digests(memory).of(file) == expected
    stat = file.stat()
    file.write_bytes(b"b" * 3_000_000)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Digests(memory).of(file) == expected  # same size, same time: remembered
    os.utime(file)
    assert Digests(memory).of(file) == hashlib.sha256(b"b" * 3_000_000).hexdigest()


def test_a_folder_is_what_sha256sum_prints_of_its_weights(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    for name in ("vae.safetensors", "unet/model.bin", "readme.md"):
        (tmp_path / name).write_text(name)
    lines = "".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n"
        for name in ("unet/model.bin", "vae.safetensors")
    )
    assert Digests(tmp_path / "sha256.json").of(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_spoilt_memory_is_made_anew(tmp_path: Path) -> None:
    memory, file = tmp_path / "sha256.json", tmp_path / "a.pth"
    file.write_bytes(b"a")
    memory.write_text("[")
    assert Digests(memory).of(file) == hashlib.sha256(b"a").hexdigest()
    assert hashlib.sha256(b"a").hexdigest() in memory.read_text()


def test_nothing_is_read_after_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"a")
    digests = Digests(tmp_path / "sha256.json")
    digests.close()
    with pytest.raises(OSError, match="not read to its end"):
        digests.of(tmp_path / "a.pth")
