"""Where plugins come from: the built-in ones by dotted name, installed packages, single files.

Knows no hooks: it finds, imports, and says what went wrong.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from ..errors import PluginError
from .breakage import HEAVY, api_fault, import_fault
from .calls import importing
from .culprit import reason
from .imports import imported_entry, imported_file, or_as_before
from .switches import Switches

__all__ = ["BUILT_INS", "GROUP", "Candidate", "Found", "discover", "named", "reason"]

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
BUILT_IN_RANK = 2
NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plugin that is there: imported (`plugin`), switched off (`off`) or not importable (`error`).

    `note` is what is to be said of one that works, `place` is where its code is: a file, or `module:object`.
    """

    name: str
    origin: str
    version: str
    rank: int  # who is asked first when plugins.toml does not say: 0 files, 1 packages, 2 built-in
    plugin: object | None = None
    off: str | None = None
    error: str | None = None
    note: str | None = None
    place: str = ""
    stamp: object = None  # what tells this code from other code; None where it is to be had anew every time


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that could be: what is known of it, and how to get it.

    `package` is the distribution that it comes with, `source` finds the file that is imported, if that is known.
    """

    found: Found
    load: Callable[[], object]
    package: str = ""
    source: Callable[[], Path | None] = lambda: None


def discover(
    switches: Switches,
    version: str,
    built_ins: Iterable[str] = BUILT_INS,
    *,
    more: Iterable[Candidate] = (),
    off: Mapping[str, str] = NOBODY,
    kept: Iterable[Found] = (),
) -> tuple[Found, ...]:
    """Find and import every plugin that is not switched off: built-in, `more`, packages, files.

    `version` is the host's own, which the built-in plugins share. One of `more` stands for the package or
    file of its name, which is left out. `off` says of plugins why they are not to be imported. What is `kept` is
    taken over where its code is the same. Of two plugins with one name the later one is not imported. A plugin that cannot be imported is there with its `error`.
    """
    taken: dict[str, Found] = {}
    before = {(one.name, one.origin): one for one in kept if one.plugin is not None}
    found = []
    for candidate in _candidates(switches, version, built_ins, more):
        one = _switched(candidate, switches, off, taken)
        if one is None:
            one = _loaded(
                candidate, switches.slow_import_s, before.get((candidate.found.name, candidate.found.origin))
            )
        taken.setdefault(one.name, one)
        found.append(one)
    return tuple(found)


def named(switches: Switches, version: str, more: Iterable[Candidate] = ()) -> tuple[Found, ...]:
    """Give what is known of every plugin without importing any."""
    return tuple(one.found for one in _candidates(switches, version, BUILT_INS, more))


def _candidates(
    switches: Switches, version: str, built_ins: Iterable[str], more: Iterable[Candidate]
) -> Iterator[Candidate]:
    further = tuple(more)
    instead = {candidate.found.name for candidate in further}
    yield from (*_built_in(built_ins, version), *further)
    for candidate in (*_installed(), *_files(switches.paths)):
        if candidate.found.name not in instead:
            yield candidate


def _switched(
    candidate: Candidate, switches: Switches, off: Mapping[str, str], taken: Mapping[str, Found]
) -> Found | None:
    found = candidate.found
    if found.name in taken:
        return replace(found, error=_name_taken(found, taken[found.name]))
    if found.off is not None:
        return found
    if found.name in switches.disable:
        return replace(found, off=f"disabled by [host] disable in {switches.source}")
    if found.rank == 1 and not switches.autoload and not found.origin.startswith("isolated"):
        return replace(found, off=f"[host] autoload is false in {switches.source}")
    if found.name in off:
        return replace(found, off=off[found.name])
    return None


def _name_taken(found: Found, other: Found) -> str:
    both = f"the name '{found.name}' is taken ({other.origin} has it, and {found.origin})"
    if found.rank == 0:
        return f"{both}; rename the file, which is its plugin's name"
    return f"{both}; uninstall one of the two, or have its author rename the entry point"


def _loaded(candidate: Candidate, slow_import_s: float, kept: Found | None = None) -> Found:
    found = candidate.found
    if kept is not None and found.stamp is not None:
        if kept.stamp == found.stamp:
            return kept
        if found.rank == 1:  # Python imports a package once
            said = f"version {found.version} is installed, and {kept.version} stays until the server is started anew"
            return replace(kept, note=said)
    before, begun, version = _heavy(), time.perf_counter(), found.version
    try:
        with or_as_before(GROUP):  # so that it is read anew once it is mended
            with importing(found.name):
                plugin = candidate.load()
            seconds = time.perf_counter() - begun
            version = version or str(getattr(plugin, "__version__", ""))
            _check_api(plugin)
    except PluginError as error:  # its own words
        return replace(found, version=version, error=str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's module may do anything when it is imported
        return replace(found, error=import_fault(error, candidate.package, candidate.source()))
    slow = seconds if found.rank < BUILT_IN_RANK and seconds > slow_import_s else None
    return replace(found, plugin=plugin, version=version, note=_note(slow, slow_import_s, _heavy() - before))


def _check_api(plugin: object) -> None:
    fault = api_fault(plugin)
    if fault is not None:
        raise PluginError(fault)


def _heavy() -> set[str]:
    return {name for name in HEAVY if name in sys.modules}


def _note(slow_s: float | None, limit_s: float, pulled_in: set[str]) -> str | None:
    said = []
    if slow_s is not None:
        said.append(
            f"its import took {slow_s:.1f} s ([host] slow_import_s is {limit_s:g}), for which every start and every "
            "`stretto plugins` waits"
        )
    if pulled_in:
        said.append(f"its import pulled in {', '.join(sorted(pulled_in))}")
    return f"{'; '.join(said)}; have its author import inside functions" if said else None


def _built_in(names: Iterable[str], version: str) -> Iterator[Candidate]:
    for name in names:
        dotted = f"{GROUP}.plugins.{name}"
        found = Found(name=name, origin="built-in", version=version, rank=BUILT_IN_RANK, place=dotted)
        yield Candidate(found, partial(importlib.import_module, dotted))


def _installed() -> Iterator[Candidate]:
    for entry in sorted(
        importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)
    ):
        about = entry.dist.metadata if entry.dist else None  # parsed anew at each look
        named, version = (str(about["Name"]), str(about["Version"])) if about else ("", "")
        package = f"package {named}" if named else "a package"
        found = Found(
            name=entry.name, origin=package, version=version, rank=1, place=entry.value, stamp=version
        )
        yield Candidate(found, partial(imported_entry, entry, version), named, partial(_source_of, entry))


def _source_of(entry: importlib.metadata.EntryPoint) -> Path | None:
    """Give the file of an entry point's module, as its distribution lists it; nothing is imported."""
    ends = (f"{entry.module.replace('.', '/')}.py", f"{entry.module.replace('.', '/')}/__init__.py")
    files = (entry.dist.files or ()) if entry.dist else ()
    return next((Path(str(file.locate())) for file in files if str(file) in ends), None)


def _files(paths: Iterable[Path]) -> Iterator[Candidate]:
    for path in paths:
        found = Found(name=path.stem, origin=f"file {path}", version="", rank=0, place=str(path))
        yield Candidate(
            replace(found, stamp=_stamp(path)), partial(imported_file, path), source=partial(Path, path)
        )


def _stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
