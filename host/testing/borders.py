"""Finds what a plugin's source takes from Stretto beyond its public names; reads, and imports nothing of it.

Public is what `stretto.host.__all__` names, and the kit `stretto.host.testing`. All else may change in any release.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["PrivateImport", "private_imports"]

HOST = "stretto.host"
KIT = "stretto.host.testing"
NOT_SOURCE = ("build", "dist", "node_modules", "site-packages", "__pycache__")
BY_NAME = ("import_module", "__import__")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateImport:
    """A line that takes what is not public: `name` is all that it takes, `public` its public name, if it has one."""

    path: Path
    line: int
    name: str
    public: str | None = None

    def __str__(self) -> str:
        way_out = (
            f"from {HOST} import {self.public}" if self.public else f"public is what {HOST}.__all__ names"
        )
        return f"{self.path}:{self.line}: {self.name} is not public; {way_out}"


def private_imports(path: Path) -> list[PrivateImport]:
    """Give the breaches in a Python file, or in all of a folder but environments and what was built.

    Raises ConfigurationError for a path that is not there and for a file that is not Python.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no file or folder {path}")
    found: list[PrivateImport] = []
    for file in [path] if path.is_file() else sorted(_sources(path)):
        try:
            tree = ast.parse(file.read_bytes(), filename=str(file))
        except (SyntaxError, ValueError) as error:
            raise ConfigurationError(f"{file} is not Python that can be read: {error}") from error
        taken = _Taken()
        taken.visit(tree)
        found += [
            PrivateImport(path=file, line=line, name=name, public=_public_name(name))
            for line, name in dict.fromkeys(taken.found)
        ]
    return found


def _sources(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            apart = entry.name.startswith(".") or entry.name in NOT_SOURCE or entry.name.endswith(".egg-info")
            if not apart and not (entry / "pyvenv.cfg").exists():
                yield from _sources(entry)
        elif entry.suffix == ".py":
            yield entry


class _Taken(ast.NodeVisitor):
    """Collects lines and dotted names that are not public, `found`; follows the names that modules are bound to."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []
        self._modules: dict[str, str] = {}  # bound name -> dotted name, of Stretto's packages alone

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if not _ours(alias.name):
                continue
            self._look(node.lineno, alias.name)
            bound = alias.asname or "stretto"
            self._modules[bound] = alias.name if alias.asname else "stretto"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None or not _ours(node.module):
            return
        for alias in node.names:
            name = node.module if alias.name == "*" else f"{node.module}.{alias.name}"
            self._look(node.lineno, name)
            if name in ("stretto.host", KIT):
                self._modules[alias.asname or alias.name] = name

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._dotted(node)
        if name is None:
            self.generic_visit(node)
        else:
            self._look(node.lineno, name)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in BY_NAME and node.args:
            word = node.args[0]
            if isinstance(word, ast.Constant) and isinstance(word.value, str) and _ours(word.value):
                self._look(node.lineno, word.value)
        self.generic_visit(node)

    def _dotted(self, node: ast.Attribute) -> str | None:
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name) or inner.id not in self._modules:
            return None
        return ".".join([self._modules[inner.id], *reversed(parts)])

    def _look(self, line: int, name: str) -> None:
        if not _is_public(name):
            self.found.append((line, name))


def _ours(name: str) -> bool:
    return name == "stretto" or name.startswith("stretto.")


def _is_public(name: str) -> bool:
    if name in ("stretto", HOST) or name == KIT or name.startswith(f"{KIT}."):
        return True
    parts = name.split(".")
    return name.startswith(f"{HOST}.") and parts[2] in _public()


def _public_name(name: str) -> str | None:
    """Find what is public and goes by the last word of `name`."""
    last = name.rpartition(".")[2]
    return last if last in _public() else None


@cache
def _public() -> frozenset[str]:
    return frozenset(importlib.import_module(HOST).__all__)
