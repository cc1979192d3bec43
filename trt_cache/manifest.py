"""What stands beside an engine: its key, its files, of what and where it was made, and what was found of it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from .faults import UnreadableError
from .keys import EngineKey

__all__ = ["MANIFEST", "VERSION", "About", "FileDigest", "Manifest", "Source", "State", "read_manifest"]

MANIFEST = "manifest.json"
VERSION = 1  # of the manifest's form
MAX_BYTES = 2**20  # of a manifest; ours take a few thousand
_HEX = frozenset("0123456789abcdef")
_SHA256 = 64  # hexadecimal digits


class State(StrEnum):
    """What is known of an engine."""

    VERIFIED = "verified"  # held against torch where it runs, and equal within its bound
    UNVERIFIED = "unverified"  # built or imported, not run yet
    QUARANTINED = "quarantined"  # held against torch and different; kept with its report, never used
    DAMAGED = "damaged"  # its files are not those that were built; never written down, found by looking


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file or folder of weights that an engine holds; `weight` is how much of an adapter."""

    kind: str  # "model", "vae", "difference", "lora", "lycoris", "inversion", "controlnet"
    name: str
    path: str
    sha256: str  # of the file, or of a folder's files, as the host reads it
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an engine was made of, for people and for pruning; the key alone decides what it is."""

    model: str  # the model's name
    size_px: int
    sources: tuple[Source, ...] = ()
    device: str = ""  # what it was built on: "cpu", or the card's name
    host: str = ""  # the host's version
    architecture: str = ""  # what engines have in common that differ in weights alone

    def of(self, kind: str) -> tuple[Source, ...]:
        """Give the sources of one kind, in their order."""
        return tuple(source for source in self.sources if source.kind == kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """How long a file is, in bytes, and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that is written down about one engine; `files` are named from the folder `engine`, with slashes."""

    key: EngineKey
    files: Mapping[str, FileDigest]
    created_at: datetime
    build_s: float
    peak_bytes: int  # resident, of the process and its children while it was built
    platform: str
    model: About
    state: State = State.UNVERIFIED
    parity: Mapping[str, Any] | None = None
    graph: Mapping[str, Any] | None = None  # how the ONNX graph that it was built of did against torch
    last_used: datetime | None = None
    version: int = VERSION

    @property
    def size_bytes(self) -> int:
        """Give the length of all its files."""
        return sum(file.size for file in self.files.values())

    @property
    def idle_since(self) -> datetime:
        """Say when it was last used, or made."""
        return self.last_used or self.created_at

    def without_places(self) -> Manifest:
        """Give the same with names instead of paths, which are one machine's own."""
        sources = [replace(one, path=PurePosixPath(one.path).name) for one in self.model.sources]
        return replace(self, model=replace(self.model, sources=tuple(sources)))

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        about = self.model
        return {
            "version": self.version,
            "digest": self.key.digest,
            "key": self.key.to_json(),
            "state": self.state.value,
            "files": {name: [file.size, file.sha256] for name, file in sorted(self.files.items())},
            "created_at": self.created_at.isoformat(),
            "build_s": self.build_s,
            "peak_bytes": self.peak_bytes,
            "made_on": {"platform": self.platform, "device": about.device, "host": about.host},
            "model": {
                "name": about.model,
                "size_px": about.size_px,
                "architecture": about.architecture,
                "sources": [asdict(source) for source in about.sources],
            },
            "parity": None if self.parity is None else dict(self.parity),
            "graph": None if self.graph is None else dict(self.graph),
            "last_used": None if self.last_used is None else self.last_used.isoformat(),
        }

    def to_text(self) -> str:
        """Give the text of the file; raises ValueError for numbers that JSON has not."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False)

    def write(self, folder: Path) -> None:
        """Put it into an engine's folder whole, or not at all; raises OSError."""
        text = self.to_text()
        descriptor, part = tempfile.mkstemp(dir=folder, prefix=f".{MANIFEST}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(part).chmod(0o644)
            Path(part).replace(folder / MANIFEST)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the engine in `folder`, whose name is its digest.

    Raises FileNotFoundError where there is no such folder, and UnreadableError for a manifest that is missing,
    cut short, of another engine, or of a later release.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if not folder.is_dir():
            raise
        raise UnreadableError("it has no manifest") from None
    except OSError as error:
        raise UnreadableError(f"its manifest cannot be read ({error.strerror or error})") from error
    try:
        plain = json.loads(raw, parse_constant=_refused)
        version = plain["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnreadableError("its manifest is cut short, or is none") from error
    if isinstance(version, int) and version > VERSION:
        raise UnreadableError(
            f"its manifest has version {version}, of a later release; this one reads up to {VERSION}",
            newer=True,
        )
    try:
        manifest = _parsed(plain)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnreadableError(f"its manifest says what none does ({error!r})") from error
    if manifest.key.digest != folder.name:
        raise UnreadableError("its manifest is another engine's")
    return manifest


def _parsed(plain: dict[str, Any]) -> Manifest:
    """Turn JSON values into a manifest.

    Raises ValueError, TypeError, KeyError, AttributeError or OverflowError for others.
    """
    made, model = plain["made_on"], plain["model"]
    state = State(plain["state"])
    if plain["version"] != VERSION or state is State.DAMAGED:
        raise ValueError(f"version {plain['version']!r}, state {state}")
    sources = tuple(_source(one) for one in model["sources"])
    about = About(
        model=str(model["name"]),
        size_px=int(model["size_px"]),
        sources=sources,
        device=str(made["device"]),
        host=str(made["host"]),
        architecture=str(model.get("architecture", "")),  # the first releases wrote none
    )
    parity, graph = plain["parity"], plain.get("graph")  # the first releases wrote no graph
    return Manifest(
        key=EngineKey.from_json(plain["key"]),
        files={_file_name(name): _digest(*file) for name, file in plain["files"].items()},
        created_at=_time(plain["created_at"]),
        build_s=float(plain["build_s"]),
        peak_bytes=int(plain["peak_bytes"]),
        platform=str(made["platform"]),
        model=about,
        state=state,
        parity=None if parity is None else dict(parity),
        graph=None if graph is None else dict(graph),
        last_used=None if plain["last_used"] is None else _time(plain["last_used"]),
    )


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _source(plain: dict[str, Any]) -> Source:
    weight = plain["weight"]
    texts = {name: str(plain[name]) for name in ("kind", "name", "path", "sha256")}
    return Source(**texts, weight=None if weight is None else float(weight))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"'{text}' has no time zone")
    return time


def _digest(size: int, sha256: str) -> FileDigest:
    if not isinstance(size, int) or size < 0 or len(sha256) != _SHA256 or not _HEX.issuperset(sha256):
        raise ValueError(f"{size!r} and {sha256!r} are no length and SHA-256")
    return FileDigest(size=size, sha256=sha256)


def _file_name(name: str) -> str:
    """Give the name of a file inside the folder; raises ValueError for one that leads elsewhere."""
    name.encode()  # raises UnicodeEncodeError, a ValueError, for half a character
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and path.parts
    if not inside or str(path) != name or "\0" in name or "\\" in name:
        raise ValueError(f"'{name}' is no file in the engine's folder")
    return name
