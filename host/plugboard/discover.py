"""Where plugins come from: the built-in ones by dotted name, installed packages, single files.

Knows no hooks: it finds, imports, and says what went wrong.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from .culprit import reason
from .switches import Switches

__all__ = ["BUILT_INS", "GROUP", "Candidate", "Found", "discover", "reason"]

GROUP = "stretto"
BUILT_INS = (
    "starter",
    "schedulers",
    "loaders",
    "patchers",
    "vaes",
    "resamplers",
    "superres",
    "faces",
    "realesrgan",
    "backgrounds",
    "controls",
    "compilers",
)
NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plugin that is there: imported (`plugin`), switched off (`off`) or not importable (`error`)."""

    name: str
    origin: str
    version: str
    rank: int  # who is asked first when plugins.toml does not say: 0 files, 1 packages, 2 built-in
    plugin: object | None = None
    off: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that could be: what is known of it, and how to get it."""

    found: Found
    load: Callable[[], object]


def discover(
    switches: Switches,
    version: str,
    built_ins: Iterable[str] = BUILT_INS,
    *,
    more: Iterable[Candidate] = (),
    off: Mapping[str, str] = NOBODY,
) -> tuple[Found, ...]:
    """Find and import every plugin that is not switched off: built-in, `more`, packages, files.

    `version` is the host's own, which the built-in plugins share. One of `more` stands for the package or
    file of its name, which is left out. `off` says of plugins why they are not to be imported. Of two plugins
    with one name the later one is not imported. A plugin that cannot be imported is there with its `error`.
    """
    further = tuple(more)
    instead = {candidate.found.name for candidate in further}
    others = [one for one in (*_installed(), *_files(switches.paths)) if one.found.name not in instead]
    taken: dict[str, Found] = {}
    found = []
    for candidate in (*_built_in(built_ins, version), *further, *others):
        one = _switched(candidate, switches, off, taken)
        taken.setdefault(one.name, one)
        found.append(one)
    return tuple(found)


def _switched(
    candidate: Candidate, switches: Switches, off: Mapping[str, str], taken: Mapping[str, Found]
) -> Found:
    found = candidate.found
    if found.name in taken:
        other = taken[found.name].origin
        return replace(found, error=f"the name '{found.name}' is taken ({other}); rename this one")
    if found.name in switches.disable:
        return replace(found, off=f"disabled by [host] disable in {switches.source}")
    if found.rank == 1 and not switches.autoload:
        return replace(found, off=f"[host] autoload is false in {switches.source}")
    if found.name in off:
        return replace(found, off=off[found.name])
    return _loaded(candidate)


def _loaded(candidate: Candidate) -> Found:
    try:
        plugin = candidate.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's module may do anything when it is imported
        return replace(candidate.found, error=reason(error))
    version = candidate.found.version or str(getattr(plugin, "__version__", ""))
    return replace(candidate.found, plugin=plugin, version=version)


def _built_in(names: Iterable[str], version: str) -> Iterator[Candidate]:
    for name in names:
        dotted = f"{GROUP}.plugins.{name}"
        found = Found(name=name, origin="built-in", version=version, rank=2)
        yield Candidate(found, partial(importlib.import_module, dotted))


def _installed() -> Iterator[Candidate]:
    for entry in sorted(
        importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)
    ):
        package = f"package {entry.dist.name}" if entry.dist else "a package"
        version = entry.dist.version if entry.dist else ""
        found = Found(name=entry.name, origin=package, version=version, rank=1)
        yield Candidate(found, partial(_loaded_entry, entry))


def _loaded_entry(entry: importlib.metadata.EntryPoint) -> object:
    """Import what an entry point names: a module, an object, or a class to make one of."""
    loaded = entry.load()
    return loaded() if inspect.isclass(loaded) else loaded


def _files(paths: Iterable[Path]) -> Iterator[Candidate]:
    for path in paths:
        found = Found(name=path.stem, origin=f"file {path}", version="", rank=0)
        yield Candidate(found, partial(_imported_file, path))


def _imported_file(path: Path) -> object:
    name = f"stretto_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
