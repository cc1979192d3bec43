"""Folders of another program's weights that are used where they are, by kind; kept in one file beside ours."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import BadRequestError, ConfigurationError
from ..settings import MODEL_FOLDERS, Folders

__all__ = ["Places", "found_places", "keep_places"]

FILE = "places.json"
# what other programs call their folders, in small letters and without - _ and spaces -> our kind
CALLED = {
    "checkpoint": "checkpoint",
    "checkpoints": "checkpoint",
    "stablediffusion": "checkpoint",
    "diffusers": "diffusers",
    "lora": "lora",
    "loras": "lora",
    "lycoris": "lycoris",
    "embedding": "inversion",
    "embeddings": "inversion",
    "inversion": "inversion",
    "textualinversion": "inversion",
    "vae": "vae",
    "controlnet": "controlnet",
    "esrgan": "upscaler",
    "realesrgan": "upscaler",
    "upscalemodels": "upscaler",
    "upscaler": "upscaler",
}
Found = dict[str, tuple[Path, ...]]


class Places:
    """The folders of one data directory, read again whenever the file has changed."""

    def __init__(self, folders: Folders) -> None:
        self._file = folders.models / FILE
        self._read: tuple[tuple[int, int] | None, Found] = (None, {})

    def of(self, kind: str) -> tuple[Path, ...]:
        """Give the folders of one kind that are there; raises ConfigurationError for a broken file."""
        return tuple(path for path in self.all().get(kind, ()) if path.is_dir())

    def all(self) -> Found:
        """Give every kept folder by kind, those too that are away at the moment, such as on a disk not plugged in."""
        stamp = _stamp(self._file)
        if stamp != self._read[0]:
            self._read = (stamp, {} if stamp is None else _parsed(self._file))
        return self._read[1]


def found_places(root: Path, kind: str | None = None) -> Found:
    """Look for folders of weights in another program's folder, or in its `models`, by what they are called.

    With a `kind`, `root` itself is that folder. Raises BadRequestError for what is no folder or has none.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise BadRequestError(f"{root} is no folder; name the one that another program keeps its models in")
    if kind is not None:
        return {kind: (root,)}
    found: dict[str, list[Path]] = {}
    for parent in (root, root / "models"):
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            meant = CALLED.get(path.name.lower().translate({ord(mark): None for mark in "-_ "}))
            if meant is not None and path.is_dir():
                found.setdefault(meant, []).append(Path(os.path.realpath(path)))
    if not found:
        raise BadRequestError(
            f"{root} has no folder that is called like one of weights ({', '.join(sorted(CALLED))}); "
            "say with --kind what is in it"
        )
    return {meant: tuple(dict.fromkeys(paths)) for meant, paths in found.items()}


def keep_places(folders: Folders, places: Mapping[str, Sequence[Path]], *, forget: bool = False) -> Found:
    """Add folders to the kept ones, or take them away; give all that are kept then. Atomic."""
    kept = dict(Places(folders).all())
    for kind, paths in places.items():
        others = tuple(path for path in kept.get(kind, ()) if path not in paths)
        kept[kind] = others if forget else (*others, *paths)
    kept = {kind: paths for kind, paths in kept.items() if paths}
    file = folders.models / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            json.dump(
                {kind: [str(path) for path in paths] for kind, paths in kept.items()}, written, indent=2
            )
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return kept


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino  # another inode with every change, however fast


def _parsed(file: Path) -> Found:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        found = {kind: tuple(Path(path) for path in paths) for kind, paths in read.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"{file} cannot be read ({error}); it is an object of folders by kind. Delete it, and import them again."
        ) from error
    unknown = [kind for kind in found if kind not in MODEL_FOLDERS]
    if unknown:
        raise ConfigurationError(f"{file} names the kind {unknown[0]!r}; known: {', '.join(MODEL_FOLDERS)}")
    return found
