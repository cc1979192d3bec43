"""Plugins that nobody has installed yet, put where a host finds them for a while."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError
from ..plugboard.discover import BUILT_INS, GROUP

__all__ = ["Plugin", "Subject", "on_trial", "subjects_of", "switches_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One plugin that is to be tried: a file, or `entry` (`module` or `module:object`) below `roots`.

    With neither it is one that every host here finds by its name, or one that is isolated, in an `environment` of its
    own, with what its table says of its `limits`.
    """

    name: str
    file: Path | None = None
    entry: str | None = None
    roots: tuple[Path, ...] = ()
    version: str = "0"
    module: str | None = None  # of an isolated one
    environment: Path | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)


# a file, a project's folder, a module or its dotted name, a plugin's name, or what was found already
Plugin = str | Path | ModuleType | Subject


def subjects_of(plugin: Plugin) -> tuple[Subject, ...]:
    """Say what is meant: a project may have several plugins. Raises ConfigurationError for what is none."""
    if isinstance(plugin, Subject):
        return (plugin,)
    if isinstance(plugin, ModuleType):
        return (_of_module(plugin),)
    path = Path(plugin)
    if path.is_dir():
        return _of_project(path.resolve())
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigurationError(f"there is no file {path}")
        return (Subject(name=path.stem, file=path.resolve()),)
    name = str(plugin)
    if name in BUILT_INS or name in _installed():
        return (Subject(name=name),)
    if all(part.isidentifier() for part in name.split(".")) and _importable(name):
        return (_of_module(importlib.import_module(name)),)
    known = ", ".join(sorted({*BUILT_INS, *_installed()}))
    raise ConfigurationError(
        f"'{name}' is no file, no project's folder, no module and no plugin's name; plugins here: {known}"
    )


@contextmanager
def on_trial(plugins: Sequence[Plugin], folder: Path) -> Iterator[tuple[Subject, ...]]:
    """Let hosts find the plugins meanwhile; `folder` takes what an installer would have written of them."""
    subjects = tuple(subject for plugin in plugins for subject in subjects_of(plugin))
    added = [str(root) for subject in subjects for root in subject.roots]
    installed = _installed()
    for subject in subjects:
        if subject.entry is not None and installed.get(subject.name) != subject.entry:
            _write_metadata(folder, subject)
    if any(subject.entry is not None for subject in subjects):
        added.append(str(folder))
    sys.path[:0] = added
    importlib.invalidate_caches()
    try:
        yield subjects
    finally:
        for entry in added:
            sys.path.remove(entry)


def switches_for(subjects: Sequence[Subject], tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a plugins.toml that has the built-in plugins and `subjects` on, and no other."""
    import tomlkit

    names = {subject.name for subject in subjects}
    host = {
        "autoload": any(subject.file is None for subject in subjects),
        "disable": sorted(set(_installed()) - names - set(BUILT_INS)),
        "paths": [str(subject.file) for subject in subjects if subject.file is not None],
    }
    return tomlkit.dumps({"host": host, "plugins": {name: dict(table) for name, table in tables.items()}})


def _installed() -> dict[str, str]:
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _of_module(module: ModuleType) -> Subject:
    name = module.__name__
    prefix = f"{GROUP}.plugins."
    if name.startswith(prefix) and name.removeprefix(prefix) in BUILT_INS:
        return Subject(name=name.removeprefix(prefix))
    for installed, value in _installed().items():
        if value == name:
            return Subject(name=installed)
    return Subject(name=name.rpartition(".")[2], entry=name, version=str(getattr(module, "__version__", "0")))


def _of_project(folder: Path) -> tuple[Subject, ...]:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise ConfigurationError(f"{folder} has no pyproject.toml, so it is no plugin's project")
    try:
        project = tomllib.loads(file.read_text("utf-8")).get("project", {})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error
    entries = project.get("entry-points", {}).get(GROUP, {})
    if not entries:
        raise ConfigurationError(
            f'{file} names no plugin; write a table [project.entry-points.{GROUP}] with NAME = "module"'
        )
    roots = (folder / "src", folder) if (folder / "src").is_dir() else (folder,)
    version = str(project.get("version", "0"))
    return tuple(
        Subject(name=name, entry=str(entry), roots=roots, version=version) for name, entry in entries.items()
    )


def _write_metadata(folder: Path, subject: Subject) -> None:
    """Say of a plugin what its package would: https://packaging.python.org/specifications/entry-points."""
    about = folder / f"{subject.name.replace('-', '_')}-{subject.version}.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {subject.name}\nVersion: {subject.version}\n", "utf-8"
    )
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n{subject.name} = {subject.entry}\n", "utf-8")
