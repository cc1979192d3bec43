"""What plugins bring into `sys.modules`: read as it is on disk now, and taken out again where nothing came of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

__all__ = ["imported_entry", "imported_file", "or_as_before"]

FILE = "stretto_plugin_"  # and its stem: the name of a single file's module
_versions: dict[
    str, str
] = {}  # of distributions, by the modules of entry points that were imported from them


class FromSource(SourceFileLoader):
    """Compiles what the file says now: compiled files are told apart by seconds and sizes alone."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source; raises OSError and what a compiler raises."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def imported_file(path: Path) -> object:
    """Import a single file as a plugin; where that fails, a module of its name that was there before stays."""
    name = f"{FILE}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=FromSource(name, str(path)))
    if spec is None or spec.loader is None or path.suffix != ".py":
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickle look their module up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _put(name, before)
        raise
    return module


def imported_entry(entry: importlib.metadata.EntryPoint, version: str) -> object:
    """Import what an entry point names: a module, an object, or a class to make one of.

    Where that was imported from another version of its distribution, all of the distribution is imported anew.
    """
    if _versions.get(entry.module, version) != version:
        _drop({entry.module, *_tops(entry, {})})
    loaded = entry.load()
    _versions[entry.module] = version
    return loaded() if inspect.isclass(loaded) else loaded


@contextmanager
def or_as_before(group: str) -> Iterator[None]:
    """Take the modules of plugins out again that came meanwhile, if what is done raises.

    Those are single files, and what belongs to the packages of entry points of a group that were not imported
    before. What these import from elsewhere stays: it is the environment's, and may not bear being imported twice.
    """
    before = dict(sys.modules)
    try:
        yield
    except BaseException:
        _take_back(group, before)
        raise


def _take_back(group: str, before: Mapping[str, ModuleType]) -> None:
    roots = {
        root
        for entry in importlib.metadata.entry_points(group=group)
        if entry.module not in before
        for root in (entry.module, *_tops(entry, before))
    }
    _drop(roots, before)
    for name in [name for name in sys.modules if name.startswith(FILE)]:
        _put(name, before.get(name))


def _drop(roots: Collection[str], but: Collection[str] = ()) -> None:
    """Take modules and what is within them out, but those that are named."""
    for name in tuple(sys.modules):
        if name not in but and any(name == root or name.startswith(f"{root}.") for root in roots):
            sys.modules.pop(name, None)


def _tops(entry: importlib.metadata.EntryPoint, before: Mapping[str, ModuleType]) -> Iterator[str]:
    """Name the packages and modules that an entry point's distribution brings, and nobody had imported."""
    files = (entry.dist.files or ()) if entry.dist else ()
    tops = {
        entry.module.partition(".")[0],
        *(file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"),
    }
    yield from (top for top in tops if top not in before)


def _put(name: str, module: ModuleType | None) -> None:
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module
