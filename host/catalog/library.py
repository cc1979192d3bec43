"""The weights that one host can use: its model folders, further roots, and what plugins offer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

from ..contracts.models import WeightFile, WeightKind
from ..contracts.specs import ModelOffer, VaeSpec
from ..errors import BadRequestError, NotFoundError, WeightsError, did_you_mean
from ..settings import MODEL_FOLDERS, Folders
from .places import Places
from .probe import SUFFIXES, probe

__all__ = ["Library"]

MODELS = (WeightKind.CHECKPOINT.value, WeightKind.DIFFUSERS.value)
OFFERED = {*MODELS, WeightKind.UNET.value}  # lists of checkpoints have what plugins ship too
CONFIGS = (".config", ".building")  # companions of single files, and folders that are being written
MAX_NAME = 4096

Stamp = tuple[tuple[str, int, int], ...]


class Library:
    """Finds weights by name; probes a file once for each size and time of change. Used by several threads."""

    def __init__(
        self, folders: Folders, offers: Mapping[str, ModelOffer], extra_roots: Sequence[Path] = ()
    ) -> None:
        self._folders = folders
        self._places = Places(folders)
        self._offers = {word: offer for offer in offers.values() for word in (offer.name, *offer.aliases)}
        self._extra = tuple(Path(root) for root in extra_roots)
        self._probed: dict[str, tuple[Stamp, WeightFile]] = {}
        self._lock = Lock()

    def names(self, kind: str) -> list[str]:
        """List the files (for `diffusers`, the folders) of one kind: sorted base names.

        Where two files share a base name, their paths below the model folder stand instead.
        """
        found = [(path, root) for path, root in self._found(kind) if _is_listed(path, kind)]
        counts = Counter(path.name for path, _ in found)
        return sorted(
            {
                path.name if counts[path.name] == 1 else path.relative_to(root).as_posix()
                for path, root in found
            }
        )

    def folders_of(self, kind: str) -> list[Path]:
        """Give the folders in which weights of one kind are looked for, ours first."""
        return self._roots(kind)

    def count(self, kind: str, root: Path) -> int:
        """Count what is listed of one kind from one of its folders."""
        return sum(found == root and _is_listed(path, kind) for path, found in self._found(kind))

    def resolve(self, name: str, kinds: Sequence[str] = ()) -> WeightFile:
        """Find weights by offered name, file name, path below a model folder, or absolute path within one.

        `kinds` are model folders to look into (`checkpoint`, `diffusers`, ...); none means both kinds
        of models. Raises NotFoundError for an unknown name, BadRequestError for a path that is outside
        or not there or for a name that several files have, WeightsError for a file that is broken.
        """
        wanted = tuple(kinds) or MODELS
        if name in self._offers and OFFERED & set(wanted):
            return self._offered(self._offers[name])
        path = self._path(name, wanted)
        if path is None:
            path = self._named(name, wanted)
        file = self._probe(path)
        if set(wanted) <= set(MODELS) and file.kind.value not in MODELS:
            raise BadRequestError(f"'{name}' is no model but weights of the kind '{file.kind}' ({file.path})")
        return file

    def resolve_vae(self, name: str, specs: Mapping[str, VaeSpec]) -> WeightFile:
        """Find the VAE of an offered name, through the file names it is known by, or any VAE by file name.

        Raises NotFoundError saying which files would do.
        """
        spec = next((spec for spec in specs.values() if name in (spec.name, *spec.aliases)), None)
        if spec is None:
            return self._free_vae(name, specs)
        files = {path.name: path for path, _ in self._found(WeightKind.VAE.value)}
        path = next((files[file] for file in spec.files if file in files), None)
        if path is None:
            folder = self._folders.model_folder("vae")
            fetched = (
                f": curl --location --output '{folder / spec.files[0]}' {spec.source}" if spec.source else ""
            )
            raise NotFoundError(
                f"the VAE '{name}' has no weights here; put one of {', '.join(spec.files)} into {folder}{fetched}"
            )
        return replace(self._probe(path), name=spec.name)

    def _free_vae(self, name: str, specs: Mapping[str, VaeSpec]) -> WeightFile:
        path = self._path(name, (WeightKind.VAE.value,))
        if path is None:
            known = [*specs, *self.names(WeightKind.VAE.value)]
            named = [path for path, _ in self._found(WeightKind.VAE.value) if name in (path.name, path.stem)]
            if not named:
                raise NotFoundError(f"Unknown VAE {name}; {did_you_mean(name, known)}")
            path = self._only(name, named)
        file = self._probe(path)
        if file.kind is not WeightKind.VAE:
            raise BadRequestError(f"'{name}' is no VAE but weights of the kind '{file.kind}' ({file.path})")
        return file

    def _offered(self, offer: ModelOffer) -> WeightFile:
        file = self._probe(Path(offer.path))
        file = replace(file, name=offer.name, family=offer.family, size_px=offer.size_px)
        return self._completed(file, offer) if file.kind is WeightKind.UNET else file

    def _completed(self, file: WeightFile, offer: ModelOffer) -> WeightFile:
        """Find the model that an offered UNet alone has its other parts from."""
        if offer.parts_from is None:
            raise WeightsError(
                f"{file.path} is a UNet alone; the plugin that offers '{offer.name}' must say in `parts_from` "
                "which model has its other parts"
            )
        other = self._offers.get(offer.parts_from)
        parts = None if other is not None and other.parts_from else self.resolve(offer.parts_from)
        if parts is None or parts.family != file.family:
            what = "a UNet alone" if parts is None else f"of the family {parts.family}"
            raise WeightsError(
                f"'{offer.name}' ({file.family}) has its other parts from '{offer.parts_from}', which is {what}; "
                "its plugin must name a whole model of its family"
            )
        return replace(file, parts_from=parts, prediction_type=parts.prediction_type)

    # -- names ---------------------------------------------------------------------------------

    def _named(self, name: str, kinds: Sequence[str]) -> Path:
        """Find by base name, then by base name without its suffix."""
        found = [path for kind in kinds for path, _ in self._found(kind) if _is_model(path, kinds)]
        for matches in (
            [path for path in found if path.name == name],
            [path for path in found if path.is_file() and path.stem == name],
        ):
            if matches:
                return self._only(name, matches)
        if not set(kinds) & set(MODELS):
            folders = " or ".join(str(self._folders.model_folder(kind)) for kind in kinds)
            known = [path.name for path in found]
            raise NotFoundError(f"there is no '{name}' in {folders}; {did_you_mean(name, known)}")
        known = [*self._offers, *(path.name for path in found)]
        if Path(name).suffix in SUFFIXES or "/" in name:
            tried = ", ".join(str(root / name) for kind in kinds for root in self._roots(kind))
            raise BadRequestError(f"Cannot find or access {name} (tried {tried})")
        raise NotFoundError(f"Unknown diffusion model {name}; {did_you_mean(name, known)}")

    def _only(self, name: str, matches: Sequence[Path]) -> Path:
        distinct = sorted({_real(path) for path in matches})
        if len(distinct) > 1:
            listed = ", ".join(str(path) for path in distinct)
            raise BadRequestError(
                f"'{name}' is the name of {len(distinct)} files: {listed}; give the path of one"
            )
        return matches[0]

    # -- paths ---------------------------------------------------------------------------------

    def _path(self, name: str, kinds: Sequence[str]) -> Path | None:
        """Find by path; None when there is none and `name` may still be a base name.

        Raises BadRequestError for a path that leads out of the roots, by `..` or by a link.
        """
        if not name or "\0" in name or len(name) > MAX_NAME:
            raise BadRequestError(
                f"'{name[:80]}' is no name of a file; give a base name or a path below the models"
            )
        given = Path(name)
        if given.is_absolute():
            candidates = [given]
        else:
            roots = [root for kind in kinds for root in self._roots(kind)]
            candidates = [root / given for root in (*roots, self._folders.models, *self._extra)]
        for candidate in candidates:
            if _is_weights(candidate):
                if not self._is_inside(candidate):
                    raise self._refused(name, candidates)
                return candidate
        if given.is_absolute() or ".." in given.parts:
            raise self._refused(name, candidates)
        return None

    def _refused(self, name: str, candidates: Sequence[Path]) -> BadRequestError:
        tried = ", ".join(str(_real(path)) for path in candidates)
        inside = ", ".join(str(root) for root in (self._folders.models, *self._extra))
        return BadRequestError(
            f"Cannot find or access {name} (tried {tried}); models are taken from {inside}"
        )

    def _is_inside(self, path: Path) -> bool:
        # A model folder that is itself a link to another disk is the administrator's choice.
        ours = [self._folders.models, *(self._folders.model_folder(kind) for kind in MODEL_FOLDERS)]
        places = [place for kept in self._places.all().values() for place in kept]
        real = _real(path)
        return any(real.is_relative_to(_real(root)) for root in (*ours, *places, *self._extra))

    def _roots(self, kind: str) -> list[Path]:
        """Give the folders of one kind: ours, imported ones, and the same below each further root, or else it."""
        if kind not in MODEL_FOLDERS:
            raise BadRequestError(f"'{kind}' is no kind of weights; {did_you_mean(kind, MODEL_FOLDERS)}")
        further = [root / kind if (root / kind).is_dir() else root for root in self._extra]
        return [self._folders.model_folder(kind), *self._places.of(kind), *further]

    def _found(self, kind: str) -> Iterator[tuple[Path, Path]]:
        """Walk the folders of one kind: (file of weights or folder in diffusers' layout, the folder walked)."""
        for root in self._roots(kind):
            for parent, folders, files in os.walk(root):
                here = Path(parent)
                if here != root and _is_folder_of_weights(here):
                    folders.clear()
                    yield here, root
                    continue
                folders[:] = sorted(name for name in folders if not name.endswith(CONFIGS))
                for name in sorted(files):
                    path = here / name
                    if path.suffix.lower() in SUFFIXES and path.is_file() and self._is_inside(path):
                        yield path, root

    # -- probing -------------------------------------------------------------------------------

    def _probe(self, path: Path) -> WeightFile:
        key = str(path.absolute())
        stamp = _stamp(path)
        with self._lock:
            known = self._probed.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        file = probe(Path(key))
        with self._lock:
            self._probed[key] = (stamp, file)
        return file


def _is_weights(path: Path) -> bool:
    try:
        return (path.is_file() and path.suffix.lower() in SUFFIXES) or _is_folder_of_weights(path)
    except OSError:  # a name that is too long for the file system is the name of nothing
        return False


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it does not raise where links go in circles


def _is_folder_of_weights(path: Path) -> bool:
    return (path / "model_index.json").is_file() or (
        (path / "config.json").is_file() and any(path.glob("diffusion_pytorch_model*"))
    )


def _is_model(path: Path, kinds: Sequence[str]) -> bool:
    return path.is_file() or WeightKind.DIFFUSERS.value in kinds or not set(kinds) & set(MODELS)


def _is_listed(path: Path, kind: str) -> bool:
    """Say whether `path` is of the sort that its kind lists: folders of diffusers, files, or both for VAEs."""
    if kind in MODELS:
        return path.is_dir() == (kind == WeightKind.DIFFUSERS.value)
    return True


def _stamp(path: Path) -> Stamp:
    """Tell one state of a file or folder from another: names, sizes, times of change."""
    beside = [path.with_suffix(".yaml"), *path.with_suffix(".config").rglob("*")]
    files = sorted(path.rglob("*")) if path.is_dir() else [path, *sorted(beside)]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
