"""What lies in the data directory's folders: counted, listed, taken in and removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stretto.host.catalog.places import Places, keep_places
from stretto.host.errors import BadRequestError, StateConflictError, WeightsError
from stretto.host.settings import MODEL_FOLDERS, Folders

from .arrivals import inspect
from .downloads import weight_name

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["listed", "overview", "part_of_form", "remove", "take_in", "use_folders"]

MAX_FIELDS, MAX_HEAD = 16, 4096  # of a multipart body; bytes
# what the contract counts beside the model folders
OTHERS = ("cache", "tensorrt", "other")


def overview(host: Host) -> dict[str, dict[str, object]]:
    """Give items, files and bytes of every folder by its name; `also` names imported ones, which count too."""
    found: dict[str, dict[str, object]] = {}
    for kind in ("cache", *MODEL_FOLDERS, *OTHERS[1:]):
        own, *further = _folders_of(host.folders, kind)
        rows = [row for folder in (own, *further) for row in _rows(folder)]
        files = [size for folder in (own, *further) for size in _sizes(folder)]
        found[kind] = {"items": len(rows), "files": len(files), "bytes": sum(files), "path": str(own)}
        if further:
            found[kind]["also"] = [str(path) for path in further]
    return found


def listed(folders: Folders, kind: str) -> list[dict[str, object]]:
    """Give the files and folders directly in those of one kind; none for an unknown kind."""
    if kind not in (*MODEL_FOLDERS, *OTHERS):
        return []
    return [row for folder in _folders_of(folders, kind) for row in _rows(folder)]


def use_folders(folders: Folders, directories: Mapping[str, object], *, create: bool) -> None:
    """Use other folders too, each for its kind, from now on; BadRequestError for what is none or unknown.

    Only folders in the data directory are taken: callers see the names of what is in them.
    """
    places: dict[str, Sequence[Path]] = {}
    away: list[str] = []
    for kind, path in directories.items():
        _known(kind)
        if not isinstance(path, str) or "\0" in path or not Path(path).is_absolute():
            raise BadRequestError(f"directories.{kind}: name a folder by its whole path")
        place = Path(os.path.realpath(path))
        if not place.is_relative_to(os.path.realpath(folders.root)):
            raise BadRequestError(
                f"directories.{kind}: {path} is outside of the data directory; on the server's machine, "
                f"`stretto models import {path} --kind {kind}` uses it where it is"
            )
        if create:
            _make(place)
        if not _is_folder(place):
            away.append(path)
        elif place != Path(os.path.realpath(folders.model_folder(kind))):
            places[kind] = (place,)
    if away:
        several = len(away) > 1
        what = "Directories do not exist" if several else "Directory does not exist"
        raise BadRequestError(f"{what}: {', '.join(away)}")
    keep_places(folders, places)


def remove(folders: Folders, kind: str, name: str) -> None:
    """Remove a file, or a model's folder, from our folder of a kind; what was imported stays as it is."""
    path = folders.model_folder(kind) / name if kind in MODEL_FOLDERS else None
    if path is None or name.startswith(".") or "/" in name or "\0" in name or not os.path.lexists(path):
        raise BadRequestError(f"Unknown engine file/directory {kind}/{name}")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def take_in(folders: Folders, kind: str, body: bytes) -> dict[str, object]:
    """Keep the field `file` of a multipart body in the folder of a kind, once it was looked at.

    Raises BadRequestError for other bodies and names and for what is not what its name says, and
    StateConflictError for a name that is taken.
    """
    _known(kind)
    sent, content = part_of_form(body)
    name = weight_name(sent)
    target = folders.model_folder(kind) / name
    if os.path.lexists(target):
        raise StateConflictError(f"File exists: {name}")
    handle, made = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    part = Path(made)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        inspect(part, target)
        part.chmod(0o644)
        part.replace(target)
    except WeightsError as error:
        raise BadRequestError(f"file: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return {"type": "file", "name": name, "bytes": len(content)}


def part_of_form(body: bytes) -> tuple[str, bytes]:
    """Give the file name and the content of the field `file` (RFC 7578); BadRequestError when there is none.

    The boundary is the first line, so the body says it without its Content-Type.
    """
    boundary = body[: body.find(b"\r\n", 0, MAX_HEAD) + 1].rstrip()
    start = len(boundary) + 2
    for _ in range(MAX_FIELDS if boundary.startswith(b"--") else 0):
        content = body.find(b"\r\n\r\n", start, start + MAX_HEAD) + 4
        end = body.find(b"\r\n" + boundary, content)
        if content < start or end < 0:
            break
        fields = _disposition(body[start:content])
        if fields.get("name") == "file" and fields.get("filename"):
            return fields["filename"], body[content:end]
        start = end + len(boundary) + 4
    raise BadRequestError("File is missing.")


def _disposition(head: bytes) -> dict[str, str]:
    from email.parser import BytesHeaderParser

    message = BytesHeaderParser().parsebytes(head)
    pairs = message.get_params(header="Content-Disposition", failobj=[])
    return {str(key): str(value) for key, value in pairs}


def _known(kind: str) -> None:
    if kind not in MODEL_FOLDERS:
        raise BadRequestError(f"Unknown directory {kind}; known: {', '.join(MODEL_FOLDERS)}")


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:  # a name that is too long
        return False


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequestError(f"The directory {place} cannot be made ({error.strerror or error})") from error


def _folders_of(folders: Folders, kind: str) -> list[Path]:
    if kind == "tensorrt":
        return [folders.engines]
    if kind in OTHERS:
        return [folders.root / kind]
    return [folders.model_folder(kind), *Places(folders).of(kind)]


def _rows(folder: Path) -> list[dict[str, object]]:
    if not folder.is_dir():
        return []
    return [
        {
            "type": "directory" if path.is_dir() else "file",
            "name": path.name,
            "bytes": sum(_sizes(path)) if path.is_dir() else _size(path),
        }
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    ]


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        yield from (_size(Path(place) / name) for name in names if not name.startswith("."))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since it was listed, or a link that leads nowhere
        return 0
