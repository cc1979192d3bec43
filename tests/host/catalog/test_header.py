from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from stretto.host.catalog.header import read_header
from stretto.host.errors import WeightsError

ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def write(path: Path, entries: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def test_reads_shapes_and_metadata(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    file = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(2, 3), "y": torch.zeros(4, dtype=torch.bfloat16)}, file, {"format": "pt"})
    header = read_header(file)
    assert header.shapes == {"x": (2, 3), "y": (4,)}
    assert header.metadata == {"format": "pt"}
    assert header.size_bytes == file.stat().st_size


def test_the_digest_knows_the_content_of_equally_long_files(tmp_path: Path) -> None:
    digests = {
        read_header(write(tmp_path / f"{letter}.safetensors", {"x": ENTRY}, letter.encode() * 24)).digest
        for letter in "abc"
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("entries", "data", "length", "words"),
    [
        (b"", b"", None, "not JSON"),
        (b"{}", b"", 2**62, "is the limit"),
        (b"{}", b"", 900, "the file has 10"),
        (b"[1]", b"", None, "not a JSON object"),
        (b"\xff\xfe", b"", None, "not JSON"),
        (b"[" * 90_000, b"", None, "not JSON"),
        ({"x": ENTRY}, b"x" * 23, None, "take 24 bytes"),
        ({"x": ENTRY}, b"x" * 25, None, "take 24 bytes"),
        ({"x": {**ENTRY, "shape": [2, 4]}}, b"x" * 24, None, "cannot have 24 bytes"),
        ({"x": {**ENTRY, "shape": [-2, -3]}}, b"x" * 24, None, "has the shape"),
        ({"x": {**ENTRY, "data_offsets": [8, 32]}}, b"x" * 32, None, "do not follow"),
        ({"x": ENTRY, "y": ENTRY}, b"x" * 24, None, "do not follow"),
        ({"x": {**ENTRY, "data_offsets": [0]}}, b"x" * 24, None, "no shape, type and offsets"),
        ({"x": {**ENTRY, "dtype": ["F32"]}}, b"x" * 24, None, "no shape, type and offsets"),
        ({"x": 3}, b"", None, "no shape, type and offsets"),
        ({"__metadata__": [], "x": ENTRY}, b"x" * 24, None, "metadata"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(
    entries: Any, data: bytes, length: int | None, words: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "broken.safetensors", entries, data, length=length)
    with pytest.raises(WeightsError, match=words) as caught:
        read_header(file)
    assert str(file) in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it has 0 bytes"),
        (b"1234", "it has 4 bytes"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS"),
        (b"PK\x03\x04\x00\x00\x08\x08rest", r"rename it to \.ckpt"),
        (b"\x80\x02}q\x00X\x0a\x00\x00", r"rename it to \.ckpt"),
    ],
)
def test_a_foreign_file_is_called_by_what_it_is(data: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "foreign.safetensors"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=words):
        read_header(file)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.safetensors", {"x": ENTRY}, b"x" * 24).read_bytes()
    file = tmp_path / "cut.safetensors"
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            read_header(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        read_header(tmp_path / "none.safetensors")
