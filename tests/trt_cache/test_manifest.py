"""A manifest is read whole or said to be unreadable, whatever stands in it."""

from __future__ import annotations

import copy
import json

import pytest
from stretto.trt_cache.faults import UnreadableError
from stretto.trt_cache.manifest import MANIFEST, read_manifest
from stretto.trt_cache.store import EngineStore

from .engines import KEY, put

ODD = (
    None,
    True,
    -1,
    1.5,
    float("inf"),
    float("nan"),
    10**400,
    "",
    "x",
    "\ud800",
    [],
    [1],
    [[]],
    {},
    {"a": 1},
)


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from _places(inner, (*path, name))


def _changed(plain, path, odd):
    if not path:
        return odd
    made = copy.deepcopy(plain)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = odd
    return made


def test_odd_values_anywhere_are_read_or_refused(tmp_path):
    folder = put(EngineStore(tmp_path)).path
    plain = json.loads((folder / MANIFEST).read_text())
    read = 0
    for path in _places(plain):
        for odd in ODD:
            (folder / MANIFEST).write_text(json.dumps(_changed(plain, path, odd)))
            try:
                manifest = read_manifest(folder)
            except UnreadableError:
                continue
            assert manifest.key == KEY
            manifest.write(folder)  # what was read can be written, and looked for
            assert EngineStore(tmp_path).find(KEY) is not None
            read += 1
    assert read > 0


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null", b"{}" + b" " * 2**20, b'{"version": "1"}']
)
def test_other_files_are_unreadable(tmp_path, raw):
    folder = put(EngineStore(tmp_path)).path
    (folder / MANIFEST).write_bytes(raw)
    with pytest.raises(UnreadableError):
        read_manifest(folder)


def test_a_manifest_that_is_a_folder_is_unreadable(tmp_path):
    folder = put(EngineStore(tmp_path)).path
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_manifest(folder)
