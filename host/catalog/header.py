"""Reads the header of a safetensors file: names, shapes and offsets, checked against the file's size.

The format: 8 bytes of little-endian header length, that many bytes of JSON, then the tensors' bytes
(https://github.com/huggingface/safetensors#format). No tensor is read.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import WeightsError

__all__ = ["Header", "read_header", "sample"]

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
LENGTH_BYTES = 8
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2,
    "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
SAMPLES, SAMPLE_BYTES = 32, 4096
NOT_WEIGHTS = (
    (
        b"version https://git-lfs",
        "it is a Git LFS pointer; fetch the file that it stands for (`git lfs pull`)",
    ),
    (b"<", "it is a web page, so the download went wrong; download it again"),
    (b"PK\x03\x04", "it is a PyTorch file; rename it to .ckpt"),
    (b"\x80", "it is a pickle; rename it to .ckpt"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of itself: its tensors' shapes, its metadata, and a digest of both with samples."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    digest: str
    size_bytes: int

    def ends(self, *suffixes: str) -> bool:
        """Say whether a tensor's name ends with one of `suffixes`."""
        return any(name.endswith(suffixes) for name in self.shapes)

    def starts(self, *prefixes: str) -> bool:
        """Say whether a tensor's name starts with one of `prefixes`."""
        return any(name.startswith(prefixes) for name in self.shapes)


def read_header(path: Path) -> Header:
    """Read and check the header of `path`; WeightsError says what is wrong with the file and what would do."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(LENGTH_BYTES)
            length = _length(path, head, size_bytes)
            raw = file.read(length)
            digest = hashlib.sha256(head + raw + size_bytes.to_bytes(8, "little"))
            digest.update(sample(file, size_bytes))
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or error}; check its permissions"
        ) from error
    entries = _entries(path, raw)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise _broken(path, "its metadata is not an object")
    shapes = _shapes(path, entries, size_bytes - LENGTH_BYTES - length)
    texts = {str(key): str(value) for key, value in metadata.items()}
    return Header(shapes=shapes, metadata=texts, digest=digest.hexdigest(), size_bytes=size_bytes)


def sample(file: BinaryIO, size_bytes: int) -> bytes:
    """Read 32 pieces of 4 KiB, evenly spread: two trainings of one network differ in every piece."""
    pieces = []
    for index in range(SAMPLES):
        file.seek(max(0, size_bytes - SAMPLE_BYTES) * index // (SAMPLES - 1))
        pieces.append(file.read(SAMPLE_BYTES))
    return b"".join(pieces)


def _broken(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path} is not a whole safetensors file: {why}; download or convert it again")


def _length(path: Path, head: bytes, size_bytes: int) -> int:
    for start, why in NOT_WEIGHTS:
        # a length that small is a real header's; a header over 100 MB starts with no such letter
        if head.startswith(start[:LENGTH_BYTES]) and head[4:] != bytes(4):
            raise WeightsError(f"{path} is not a safetensors file: {why}")
    if len(head) < LENGTH_BYTES:
        raise _broken(path, f"it has {size_bytes} bytes")
    length: int = struct.unpack("<Q", head)[0]
    if length > MAX_HEADER_BYTES:
        raise _broken(path, f"its header would take {length} bytes, and {MAX_HEADER_BYTES} is the limit")
    if LENGTH_BYTES + length > size_bytes:
        raise _broken(path, f"its header takes {length} bytes, and the file has {size_bytes}")
    return length


def _entries(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _broken(path, "its header is not JSON") from error
    if not isinstance(entries, dict):
        raise _broken(path, "its header is not a JSON object")
    return entries


def _shapes(path: Path, entries: Mapping[str, Any], data_bytes: int) -> dict[str, tuple[int, ...]]:
    """Check that the tensors cover the data exactly once, and give their shapes."""
    spans: list[tuple[int, int]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in entries.items():
        try:
            shape = tuple(int(side) for side in entry["shape"])
            start, end = (int(offset) for offset in entry["data_offsets"])
            item_bytes = ITEM_BYTES.get(entry["dtype"])
        except (KeyError, TypeError, ValueError) as error:
            raise _broken(path, f"the entry of the tensor '{name}' has no shape, type and offsets") from error
        if item_bytes is not None and prod(shape) * item_bytes != end - start:
            raise _broken(path, f"the tensor '{name}' of shape {list(shape)} cannot have {end - start} bytes")
        if any(side < 0 for side in shape):
            raise _broken(path, f"the tensor '{name}' has the shape {list(shape)}")
        spans.append((start, end))
        shapes[name] = shape
    position = 0
    for start, end in sorted(spans):
        if start != position or end < start:
            raise _broken(path, f"its tensors do not follow each other at byte {position} of the data")
        position = end
    if position != data_bytes:
        raise _broken(path, f"its tensors take {position} bytes, and the file has {data_bytes} for them")
    return shapes
