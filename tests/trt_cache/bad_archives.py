"""Archives of engines that are refused: names that lead out, other content, half of one."""

from __future__ import annotations

import io
import tarfile

import pytest
from stretto.trt_cache.faults import ArchiveError
from stretto.trt_cache.store import EngineStore

from .engines import KEY, leftovers, put


def archive_that_leads_out(root):
    names = (
        "../escaped",
        "/escaped",
        f"{KEY.digest}/engine/../../../escaped",
        f"{KEY.digest}/other",
        "escaped",
    )
    for name in (*names, f"{KEY.digest}/engine/a\\b", f"{KEY.digest}/engine//x", f"{KEY.digest}/engine/."):
        _refused(root, lambda tar, name=name: _add(tar, name, b"x"), "no place in an archive")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        member = tarfile.TarInfo(f"{KEY.digest}/engine/x")
        member.type, member.linkname = kind, "/etc/passwd"
        _refused(root, lambda tar, member=member: tar.addfile(member), "no plain file")
    assert not (root.parent / "escaped").exists()


def changed_archive(root):
    members = _members(root)
    plan, manifest = f"{KEY.digest}/engine/engine.plan", f"{KEY.digest}/manifest.json"
    flipped = b"x" + members[plan][1:]
    faults = {
        "another SHA-256": {**members, plan: flipped},
        "bytes instead of": {**members, plan: members[plan][:-1]},
        "is missing": {name: raw for name, raw in members.items() if name != plan},
        "not in its manifest": {**members, f"{KEY.digest}/engine/extra": b"x"},
        "no manifest": {name: raw for name, raw in members.items() if name != manifest},
        "another engine's": {name.replace(KEY.digest, "f" * 64): raw for name, raw in members.items()},
        "a later release": {**members, manifest: b'{"version": 99}'},
        "no engine in it": {},
    }
    for words, changed in faults.items():
        _refused(root, lambda tar, changed=changed: [_add(tar, *one) for one in changed.items()], words)

    def twice(tar):
        for name, raw in [*members.items(), (plan, flipped)]:
            _add(tar, name, raw)

    _refused(root, twice, "names a file twice")


def cut_archive(root):
    archive = root.parent / "engines.tar"
    _members(root, keep=archive)
    raw = archive.read_bytes()
    for content in (raw[: len(raw) // 2], b"", b"PK\x03\x04" + bytes(2000), raw[:512]):
        archive.write_bytes(content)
        with pytest.raises(ArchiveError):
            EngineStore(root).import_(archive)
        assert leftovers(root) == []


def _members(root, keep=None):
    """Export an engine from another store, and give what is in the archive."""
    elsewhere = EngineStore(root.parent / "elsewhere")
    archive = keep or root.parent / "made.tar"
    elsewhere.export([put(elsewhere).digest], archive)
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def _refused(root, fill, words):
    archive = root.parent / "bad.tar"
    with tarfile.open(archive, "w:") as tar:
        fill(tar)
    with pytest.raises(ArchiveError, match=words):
        EngineStore(root).import_(archive)
    assert leftovers(root) == []
    assert EngineStore(root).all() == ()


def _add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
