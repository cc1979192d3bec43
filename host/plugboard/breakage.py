"""Why a plugin cannot be used, and what would do: its import, the API that it is for, the arguments of its hooks."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pluggy

from ..hookspecs import PROJECT, HostSpecs
from ..promise import DECLARATION, STRETTO_API, USUAL_RANGE
from .culprit import reason

__all__ = ["HEAVY", "api_fault", "declared_api", "import_fault", "signature_fault"]

HEAVY = ("torch", "diffusers", "transformers", "tensorrt")  # seconds and gigabytes each
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


# how it is imported


def import_fault(error: BaseException, package: str = "", source: Path | None = None) -> str:
    """Say why a plugin could not be imported: one of the distribution `package`, or the file `source`."""
    said = reason(error)
    if not isinstance(error, ImportError):
        return said
    wrong_api = None if source is None else _range_fault(_written_api(source))
    if wrong_api is not None:  # names that this host does not have yet, or any more
        return f"{wrong_api} ({said})"
    top = (error.name or "").partition(".")[0]
    if top == PROJECT:
        return (
            f"{said}; this host's plugin API is {STRETTO_API}, install a release of the plugin that is for it"
        )
    if not isinstance(error, ModuleNotFoundError):
        return said
    unmet = list(_unmet(package)) if package else []
    if unmet:
        wanted = ", ".join(unmet)
        return f"{said}; its package asks for {wanted}, which is not here: {_pip(unmet)}"
    return f"{said}; install what has it, such as: {_pip([top])}"


def _pip(requirements: list[str]) -> str:
    quoted = " ".join(f"'{one}'" if set(one) & set(" <>=!~;[") else one for one in requirements)
    return f"{sys.executable} -m pip install {quoted}"


def _unmet(package: str) -> Iterator[str]:
    """Give the requirements of a distribution that are not installed, or in another version."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in importlib.metadata.requires(package) or ():
        try:
            wanted = Requirement(line)
        except InvalidRequirement:  # it says nothing that pip could install
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        wanted.marker = None
        try:
            here = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield str(wanted)
        else:
            if not wanted.specifier.contains(here, prereleases=True):
                yield str(wanted)


# the API that it is for


def declared_api(plugin: object) -> object:
    """Give what a plugin, or its class's module, says with REQUIRES_STRETTO_API; None if it says nothing."""
    module = sys.modules.get(type(plugin).__module__)
    return getattr(plugin, DECLARATION, None) or getattr(module, DECLARATION, None)


def api_fault(plugin: object) -> str | None:
    """Say why a plugin is not for this host's API; None if it is, or does not say."""
    return _range_fault(declared_api(plugin))


def _range_fault(declared: object) -> str | None:
    if declared is None or declared == USUAL_RANGE:
        return None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(declared) if isinstance(declared, str) and declared.strip() else None
    except InvalidSpecifier:
        wanted = None
    if wanted is None:
        return f'{DECLARATION} is {declared!r}, which is no version specifier; write one such as ">=1.0,<2"'
    if wanted.contains(STRETTO_API, prereleases=True):
        return None
    return (
        f"it is for the plugin API {declared}, and this host's is {STRETTO_API}; install a release of it that is "
        f"for {STRETTO_API}, or another Stretto"
    )


def _written_api(source: Path) -> object:
    """Read REQUIRES_STRETTO_API in a file that could not be imported."""
    try:
        parsed = ast.parse(source.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    for node in parsed.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == DECLARATION for target in targets):
            value = node.value if isinstance(node, ast.Assign) else None
            return value.value if isinstance(value, ast.Constant) else None
    return None


# its hooks


def signature_fault(manager: pluggy.PluginManager, plugin: object) -> str | None:
    """Say which hook of a plugin asks for an argument that the host does not give."""
    for name in dir(plugin):
        if not hasattr(HostSpecs, name) or manager.parse_hookimpl_opts(plugin, name) is None:
            continue
        given = _arguments(getattr(HostSpecs(), name))
        unknown = [argument for argument in _arguments(getattr(plugin, name)) if argument not in given]
        if unknown:
            return (
                f"its hook {name}({', '.join(_arguments(getattr(plugin, name)))}) asks for '{unknown[0]}', and the host "
                f"gives ({', '.join(given)}); take some of these, by these names"
            )
    return None


def _arguments(function: object) -> tuple[str, ...]:
    """Name the arguments that a function must be given by position."""
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]  # a hook is callable
    return tuple(
        one.name for one in parameters if one.kind in _POSITIONAL and one.default is inspect.Parameter.empty
    )
