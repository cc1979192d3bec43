"""Engines on disk: found by their key, built once, kept whole, and put aside when they are not what they should be."""

from __future__ import annotations

import math
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from .archive import export_engines, import_engines
from .contents import Contents
from .faults import BusyError, CacheError, UnknownEngineError, UnreadableError
from .keys import EngineKey
from .locks import LOCKS, held
from .manifest import MANIFEST, About, FileDigest, Manifest, Source, State, read_manifest
from .peak import peak_memory
from .pruning import prunable

__all__ = [
    "About",
    "CacheError",
    "EngineStore",
    "Manifest",
    "Source",
    "State",
    "StoredEngine",
    "Unreadable",
]

ENGINE = "engine"  # the folder in an engine's folder that its compiler wrote
PART = ".part-"  # what is being built, brought in or removed: .part-<digest>-<random>
_DIGITS = 64  # of a digest
_PATIENCE_S = 10.0  # for another process that has an engine in hand
_USED_EVERY_S = 60.0  # how exactly the last use is written down


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEngine:
    """An engine in the store; the compiler's files are in `path / "engine"`."""

    path: Path
    digest: str
    manifest: Manifest
    state: State
    why: str = ""  # what is damaged

    @property
    def key(self) -> EngineKey:
        """Give what makes it this engine."""
        return self.manifest.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A folder of an engine whose manifest says nothing; `newer` ones are a later release's and left alone."""

    path: Path
    digest: str
    why: str
    newer: bool


class EngineStore:
    """The engines in one folder, which any number of processes and threads share.

    Nothing is made before it is needed: a store over a folder that is not there is empty.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._contents = Contents()
        self._unwritten: dict[
            str, dict[str, Any]
        ] = {}  # what this process knows and could not write, by digest

    def find(self, key: EngineKey) -> StoredEngine | None:
        """Give the engine of a key, its files read once a process; None where there is none that can be read.

        One whose files are not those that were built has the state DAMAGED.
        """
        try:
            return self._opened(key.digest)
        except (FileNotFoundError, UnreadableError):
            return None

    def get_or_build(
        self,
        key: EngineKey,
        build: Callable[[Path], Mapping[str, Any] | None],
        about: About,
        *,
        timeout_s: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> StoredEngine:
        """Give the engine of a key; one that is missing or damaged is built into an empty folder first.

        What `build` gives is kept as how the exported graph did against torch.

        Whoever comes while another process builds it waits, `timeout_s` at most, and takes that one. Raises what
        `build` raises, BusyError, BuildStoppedError once `cancelled` says so, OSError for a disk that is full or
        may not be written, and CacheError for a build that wrote nothing; the store is then as before.
        """
        found = self._usable(key)
        if found is not None:
            return found
        with held(self.root, key.digest, timeout_s=timeout_s, cancelled=cancelled):
            self.sweep(ours=key.digest)
            found = self._usable(key)
            return found or self._built(key, build, about)

    def set_parity(self, digest: str, report: Mapping[str, Any] | None, state: State) -> bool:
        """Keep how an engine did against torch, and what it is now.

        Numbers that are none (NaN, infinities) are kept as words. False is given where that cannot be written: of a
        folder that may only be read this store knows it as long as it lives, an engine that was removed is forgotten.
        """
        if state is State.DAMAGED:
            raise CacheError("whether an engine is damaged is found by looking, and not written down")
        found: dict[str, Any] = {"parity": report and _finite(report), "state": state}
        try:
            self._changed(digest, timeout_s=_PATIENCE_S, **found)
        except (OSError, BusyError):
            self._unwritten[digest] = found
            return False
        except CacheError:  # removed, or broken, meanwhile
            return False
        return True

    def quarantine(self, digest: str, report: Mapping[str, Any]) -> bool:
        """Keep an engine that failed with its report, not to be used again; the rest is as `set_parity` has it."""
        return self.set_parity(digest, report, State.QUARANTINED)

    def used(self, digest: str) -> None:
        """Note that an engine is used now, to the minute; where that cannot be written it is left out."""
        # An engine that another process has in hand, or a folder that may only be read, draws all the same.
        with suppress(OSError, CacheError):
            last = read_manifest(self._folder(digest)).last_used
            now = datetime.now(UTC)
            if last is None or (now - last).total_seconds() > _USED_EVERY_S:
                self._changed(digest, timeout_s=0.0, last_used=now)

    def remove(self, digest: str, *, timeout_s: float | None = None) -> None:
        """Remove an engine, readable or not; raises UnknownEngineError, BusyError and OSError."""
        folder = self._folder(digest)
        if not folder.is_dir():
            raise UnknownEngineError(f"there is no engine {digest}")
        with held(self.root, digest, timeout_s=timeout_s):
            self._discarded(folder)

    def all(self) -> tuple[StoredEngine, ...]:
        """Give every engine whose manifest can be read, the oldest first; of files only lengths are looked at."""
        found = []
        for digest in self._digests():
            with suppress(FileNotFoundError, UnreadableError):  # gone meanwhile; `unreadable` has the others
                found.append(self._opened(digest, read=False))
        return tuple(sorted(found, key=lambda engine: (engine.manifest.created_at, engine.digest)))

    def unreadable(self) -> tuple[Unreadable, ...]:
        """Give every folder whose manifest cannot be read."""
        found = []
        for digest in self._digests():
            folder = self._folder(digest)
            try:
                read_manifest(folder)
            except FileNotFoundError:
                continue
            except UnreadableError as error:
                found.append(Unreadable(path=folder, digest=digest, why=str(error), newer=error.newer))
        return tuple(found)

    def verify(self, digest: str) -> StoredEngine:
        """Read all files of an engine anew; raises UnknownEngineError and UnreadableError."""
        try:
            return self._opened(digest, anew=True)
        except FileNotFoundError as error:
            raise UnknownEngineError(f"there is no engine {digest}") from error

    def export(self, digests: Sequence[str], archive: Path) -> tuple[StoredEngine, ...]:
        """Write engines into a new file, to be imported elsewhere; see `export_engines`."""
        return export_engines(self, digests, archive)

    def import_(self, archive: Path) -> tuple[StoredEngine, ...]:
        """Take in the engines of such a file that are not here yet, and give those; see `import_engines`."""
        return import_engines(self, archive)

    def prune(
        self,
        older_than_s: float | None = None,
        max_bytes: int | None = None,
        orphaned: Callable[[Manifest], bool] | None = None,
        *,
        dry: bool = False,
    ) -> tuple[tuple[StoredEngine, str], ...]:
        """Remove engines by age, size and lost weights, and give them with the reason; `dry` removes none.

        What another process has in hand stays. `prunable` says which are chosen. Raises OSError.
        """
        engines = {engine.digest: engine for engine in self.all()}
        gone = []
        for digest, why in prunable(tuple(engines.values()), older_than_s, max_bytes, orphaned).items():
            with suppress(BusyError, UnknownEngineError):
                if not dry:
                    self.remove(digest, timeout_s=0.0)
                gone.append((engines[digest], why))
        return tuple(gone)

    def sweep(self, ours: str | None = None) -> int:
        """Remove what killed builds have left, and say how many; what is in hand stays, but for `ours`."""
        count = 0
        for part in self.root.glob(f"{PART}*"):
            digest = part.name.removeprefix(PART).partition("-")[0]
            with (
                suppress(BusyError),
                nullcontext() if digest == ours else held(self.root, digest, timeout_s=0.0),
            ):
                # Another process may sweep as well, and a killed build's children may still write; what they
                # leave is for the next time.
                shutil.rmtree(part, ignore_errors=True)
                count += 1
        return count

    @contextmanager
    def beside(self) -> Iterator[Path]:
        """Give an empty folder beside the engines for what builds share; a sweep takes it once its process is gone."""
        name = uuid4().hex
        with held(self.root, name), self.part(name) as folder:
            yield folder
        (self.root / LOCKS / f".{name}").unlink(missing_ok=True)  # nobody asks for that one again

    @contextmanager
    def part(self, digest: str) -> Iterator[Path]:
        """Give a folder beside the engines that becomes one by `settle`; it is gone afterwards."""
        self.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.root, prefix=f"{PART}{digest}-"))
        try:
            folder.chmod(0o755)
            yield folder
        finally:
            if folder.is_dir():
                shutil.rmtree(folder)

    def settle(self, part: Path, manifest: Manifest) -> StoredEngine:
        """Make an engine of a folder with its files in `engine`, in the place of a damaged one; under its lock."""
        manifest.write(part)
        for other in part.iterdir():
            if other.name not in (ENGINE, MANIFEST):
                shutil.rmtree(other) if other.is_dir() else other.unlink()
        folder = self._folder(manifest.key.digest)
        if folder.is_dir():
            self._discarded(folder)
        part.rename(folder)
        self._unwritten.pop(folder.name, None)
        self._contents.moved(part / ENGINE, folder / ENGINE)
        return StoredEngine(path=folder, digest=folder.name, manifest=manifest, state=manifest.state)

    def usable(self, digest: str) -> StoredEngine | None:
        """Give an engine that need not be built or brought in; None for a missing, damaged or unreadable one.

        Raises CacheError for one of a later release, which is left as it is.
        """
        try:
            found = self._opened(digest)
        except FileNotFoundError:
            return None
        except UnreadableError as error:
            if error.newer:
                raise CacheError(
                    f"an engine {digest[:12]} is there, but {error}; take that release, or name another folder with --engine-dir"
                ) from error
            return None
        return None if found.state is State.DAMAGED else found

    # -- inside --------------------------------------------------------------------------------

    def _usable(self, key: EngineKey) -> StoredEngine | None:
        return self.usable(key.digest)

    def _built(
        self, key: EngineKey, build: Callable[[Path], Mapping[str, Any] | None], about: About
    ) -> StoredEngine:
        with self.part(key.digest) as part:
            out = part / ENGINE
            out.mkdir()
            begun = time.monotonic()
            with peak_memory() as peak:
                found = build(out)
            manifest = Manifest(
                key=key,
                files=self._read(out),
                created_at=datetime.now(UTC),
                build_s=round(time.monotonic() - begun, 3),
                peak_bytes=peak.size_bytes,
                platform=platform.platform(),
                model=about,
                graph=_finite(found) if isinstance(found, Mapping) else None,
            )
            return self.settle(part, manifest)

    def _read(self, out: Path) -> dict[str, FileDigest]:
        files = self._contents.of(out)
        if not files:
            raise CacheError("the compiler wrote no files")
        return files

    def _opened(self, digest: str, *, read: bool = True, anew: bool = False) -> StoredEngine:
        folder = self._folder(digest)
        manifest = replace(read_manifest(folder), **self._unwritten.get(digest, {}))
        fault = self._contents.fault(folder / ENGINE, manifest.files, read=read, anew=anew)
        return StoredEngine(
            path=folder,
            digest=digest,
            manifest=manifest,
            state=State.DAMAGED if fault else manifest.state,
            why=fault or "",
        )

    def _changed(self, digest: str, *, timeout_s: float | None = None, **values: Any) -> None:
        folder = self._folder(digest)
        if not folder.is_dir():
            raise UnknownEngineError(f"there is no engine {digest}")
        with held(self.root, digest, timeout_s=timeout_s):
            try:
                replace(read_manifest(folder), **values).write(folder)
            except FileNotFoundError as error:
                raise UnknownEngineError(f"there is no engine {digest}") from error

    def _discarded(self, folder: Path) -> None:
        """Take a folder out of the way at once, then remove it, so that no half of it is ever found."""
        gone = self.root / f"{PART}{folder.name}-{uuid4().hex}"
        with suppress(FileNotFoundError):  # somebody was faster
            folder.rename(gone)
            shutil.rmtree(gone)

    def _digests(self) -> tuple[str, ...]:
        if not self.root.is_dir():
            return ()
        return tuple(
            sorted(path.name for path in self.root.iterdir() if _is_digest(path.name) and path.is_dir())
        )

    def _folder(self, digest: str) -> Path:
        if not _is_digest(digest):
            raise UnknownEngineError(
                f"'{digest}' is no digest of an engine, which has {_DIGITS} hexadecimal digits"
            )
        return self.root / digest


def _finite(report: Mapping[str, Any]) -> dict[str, Any]:
    """Give a report without numbers that JSON has not."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in report.items()
    }


def _is_digest(name: str) -> bool:
    return len(name) == _DIGITS and set(name) <= set("0123456789abcdef")
