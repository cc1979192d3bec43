"""Engines in one tar file, to carry them to another machine; what comes in is trusted for nothing.

Members are `<digest>/manifest.json` and `<digest>/engine/...`, plain files alone (POSIX.1-2001, pax).
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from .contents import Contents
from .faults import ArchiveError, CacheError, UnreadableError
from .locks import held
from .manifest import MANIFEST, Manifest, State, read_manifest

if TYPE_CHECKING:
    from .store import EngineStore, StoredEngine

__all__ = ["export_engines", "import_engines"]

ENGINE = "engine"
_DEEPEST = 16  # folders in an engine
_MOST = 100_000  # members of an archive


def export_engines(store: EngineStore, digests: Sequence[str], archive: Path) -> tuple[StoredEngine, ...]:
    """Write engines and their manifests into a new file, whole or not at all.

    Raises ArchiveError for a file that is there and for engines that are damaged or unreadable,
    UnknownEngineError, and OSError.
    """
    if archive.exists():
        raise ArchiveError(f"{archive} is there already; name another file, or remove it")
    engines = [_sound(store, digest) for digest in dict.fromkeys(digests)]
    if not engines:
        raise ArchiveError("there is no engine to export")
    part = archive.with_name(f".{archive.name}.{uuid4().hex}.part")
    try:
        with tarfile.open(part, "x:", format=tarfile.PAX_FORMAT) as tar:
            for engine in engines:
                _add_manifest(tar, engine)
                for file in engine.manifest.files:
                    name = f"{ENGINE}/{file}"
                    tar.add(engine.path / name, f"{engine.digest}/{name}", recursive=False, filter=_plain)
        part.rename(archive)
    except FileNotFoundError as error:
        raise ArchiveError(f"{error.filename} went away meanwhile; try again") from error
    finally:
        part.unlink(missing_ok=True)
    return tuple(engines)


def import_engines(store: EngineStore, archive: Path) -> tuple[StoredEngine, ...]:
    """Take in all engines of a file that are not here yet, and give them; all of them are looked at before.

    They are unverified until they have run here; quarantined ones stay so. Raises ArchiveError for a file that
    `export_engines` did not write or that was changed since, CacheError for an engine that a later release
    has here, and OSError; nothing of the file is then kept.
    """
    with held(store.root, "import"), store.part("import") as part:
        _unpack(archive, part)
        manifests = [_checked(folder) for folder in sorted(part.iterdir())]
        if not manifests:
            raise ArchiveError(f"{archive} has no engine in it")
        missing = [one for one in manifests if store.usable(one.key.digest) is None]
        return tuple(taken for one in missing if (taken := _settled(store, part, one)) is not None)


def _sound(store: EngineStore, digest: str) -> StoredEngine:
    try:
        engine = store.verify(digest)
    except UnreadableError as error:
        raise ArchiveError(f"the engine {digest[:12]} is not exported: {error}") from error
    if engine.state is State.DAMAGED:
        raise ArchiveError(f"the engine {digest[:12]} is not exported: {engine.why}")
    return engine


def _add_manifest(tar: tarfile.TarFile, engine: StoredEngine) -> None:
    """Write the manifest without the folders of this machine."""
    text = engine.manifest.without_places().to_text().encode()
    member = tarfile.TarInfo(f"{engine.digest}/{MANIFEST}")
    member.size, member.mtime = len(text), int(engine.manifest.created_at.timestamp())
    tar.addfile(_plain(member), io.BytesIO(text))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made the file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _unpack(archive: Path, part: Path) -> None:
    try:
        with tarfile.open(archive, "r:") as tar:
            for count, member in enumerate(tar):
                path = part / _safe(member)
                if count >= _MOST:
                    raise ArchiveError(f"{archive} has more than {_MOST} files")
                path.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is None:  # cannot be, of a plain file
                    raise ArchiveError(f"'{member.name}' in {archive} has no content")
                with source, path.open("xb") as out:
                    shutil.copyfileobj(source, out, 2**20)
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"{archive} is no archive of engines, or is cut short ({error})") from error
    except FileExistsError as error:
        raise ArchiveError(f"{archive} names a file twice") from error


def _safe(member: tarfile.TarInfo) -> PurePosixPath:
    """Give where a member belongs; raises ArchiveError for links, devices, and names that lead elsewhere."""
    name, parts = member.name, member.name.split("/")
    ours = parts[1:] == [MANIFEST] or (parts[1:2] == [ENGINE] and parts[2:] and len(parts) <= _DEEPEST)
    if not ours or any(part in ("", ".", "..") for part in parts) or "\\" in name or "\0" in name:
        raise ArchiveError(f"'{name[:200]}' has no place in an archive of engines")
    if not member.isreg():
        raise ArchiveError(f"'{name[:200]}' is no plain file")
    return PurePosixPath(name)


def _checked(folder: Path) -> Manifest:
    """Read the manifest of an unpacked engine and all its files; raises ArchiveError for what does not agree."""
    try:
        manifest = read_manifest(folder)
        fault = Contents().fault(folder / ENGINE, manifest.files)
        found = Contents().of(folder / ENGINE)
    except (UnreadableError, CacheError) as error:
        raise ArchiveError(f"the engine {folder.name[:12]} is not taken in: {error}") from error
    more = sorted(found.keys() - manifest.files.keys())
    if fault or more:
        raise ArchiveError(
            f"the engine {folder.name[:12]} is not taken in: {fault or f'{more[0]} is not in its manifest'}"
        )
    return manifest


def _settled(store: EngineStore, part: Path, manifest: Manifest) -> StoredEngine | None:
    """Put one engine into its place, unless another process was faster."""
    digest = manifest.key.digest
    state = State.QUARANTINED if manifest.state is State.QUARANTINED else State.UNVERIFIED
    with held(store.root, digest):
        if store.usable(digest) is not None:
            return None
        return store.settle(part / digest, replace(manifest.without_places(), state=state, last_used=None))
