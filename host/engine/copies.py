"""Copies of single-file checkpoints in diffusers' format, which load without renaming, converting and measuring.

A copy is known by the content it was made of: the file's fingerprint, what stands in the folder beside it,
and the number format that it was loaded in, so the networks that come out of it are the same to the bit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..contracts.models import Family, ModelSpec, Precision, WeightFile, WeightKind
from ..contracts.protocols import LoadedModel
from .components import is_sdxl, size_bytes

__all__ = ["Copies", "Kept"]

VERSION = 1  # of what is written; copies of another one are swept
MANIFEST = "stretto-copy.json"
BUILDING = ".building"
SPARE_BYTES = 2**30  # that saving a copy leaves free on the disk
XL = (Family.SDXL, Family.SDXL_REFINER)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of keeping a copy: its folder, or why there is none."""

    path: Path | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The copies in one folder; `mode` says of which models new ones are made."""

    folder: Path
    mode: Literal["always", "xl"] | None

    def wants(self, spec: ModelSpec) -> bool:
        """Say whether this model is to be loaded by a copy: never one with another VAE than its own."""
        file = spec.weights
        if file.kind is not WeightKind.CHECKPOINT or spec.vae is not None or not file.fingerprint:
            return False
        return self.mode == "always" or (self.mode == "xl" and file.family in XL)

    def find(self, file: WeightFile, precision: Precision) -> WeightFile | None:
        """Give the copy of a checkpoint as a folder to load; None without one."""
        path = self._path(file, precision)
        if _manifest(path) is None:
            return None
        found = WeightFile(path=str(path), kind=WeightKind.DIFFUSERS, family=file.family, name=file.name)
        return found if (path / "model_index.json").is_file() else None

    def keep(self, model: LoadedModel, precision: Precision) -> Kept:
        """Save a freshly loaded model as its file's copy; the folder appears whole or not at all."""
        file = model.spec.weights
        path = self._path(file, precision)
        building = path.with_name(f"{path.name}.{os.getpid()}{BUILDING}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < size_bytes(model) + SPARE_BYTES:
                return Kept(path=None, why=f"there is too little room in {self.folder}")
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            _write(model, building)
            _write_json(building / MANIFEST, {"version": VERSION, "source": _source(file)})
            shutil.rmtree(path, ignore_errors=True)
            building.replace(path)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            return Kept(path=None, why=f"{error.strerror or error} ({error.filename or self.folder})")
        return Kept(path=path)

    def drop(self, copy: WeightFile) -> None:
        """Remove a copy that cannot be used."""
        shutil.rmtree(copy.path, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what is stale: copies whose file is gone or another now, and what nobody finished; give how many."""
        count = 0
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            manifest = _manifest(path)
            if path.name.endswith(BUILDING):
                stale = not _is_running(path.name.split(".")[-2])
            else:
                stale = manifest is None or manifest["source"] != _source_now(manifest["source"])
            if stale:
                shutil.rmtree(path, ignore_errors=True)
                logger.info("removed the stale copy %s", path)
                count += 1
        return count

    def _path(self, file: WeightFile, precision: Precision) -> Path:
        made_of = [VERSION, file.fingerprint, file.size_bytes, str(precision), _beside(file.companion)]
        return self.folder / hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]


def _write(model: LoadedModel, folder: Path) -> None:
    names = ("text_encoder", "text_encoder_2")[-len(model.text_encoders) :]
    if not is_sdxl(model):
        names = ("text_encoder",)
    index: dict[str, Any] = dict(model.options)
    for name, network in (("unet", model.unet), ("vae", model.vae)):
        _write_network(network, folder / name, "diffusion_pytorch_model.safetensors")
        network.save_config(folder / name)
        index[name] = ["diffusers", type(network).__name__]
    for name, encoder, tokenizer in zip(names, model.text_encoders, model.tokenizers, strict=True):
        _write_network(encoder, folder / name, "model.safetensors")
        encoder.config.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name.replace("text_encoder", "tokenizer"))
        index[name] = ["transformers", type(encoder).__name__]
    (folder / "scheduler").mkdir()
    _write_json(folder / "scheduler" / "scheduler_config.json", dict(model.scheduler_config))
    _write_json(folder / "model_index.json", index)


def _write_network(network: Any, folder: Path, name: str) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / name)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = (
        isinstance(found, dict) and found.get("version") == VERSION and isinstance(found.get("source"), dict)
    )
    return found if whole else None


def _source(file: WeightFile) -> dict[str, Any]:
    stat = Path(file.path).stat()
    return {"path": file.path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _source_now(recorded: dict[str, Any]) -> dict[str, Any] | None:
    try:
        stat = Path(str(recorded.get("path"))).stat()
    except OSError:
        return None
    return {"path": recorded["path"], "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _beside(companion: Path) -> list[list[str]]:
    """Give the settings beside a checkpoint by name and content; they decide what is made of it."""
    files = sorted(path for path in companion.rglob("*") if path.is_file()) if companion.is_dir() else []
    return [
        [path.relative_to(companion).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in files
    ]


def _is_running(pid: str) -> bool:
    import psutil

    return pid.isdecimal() and psutil.pid_exists(int(pid))
