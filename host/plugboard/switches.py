"""plugins.toml: which plugins are on, who is asked first, and the plugins' own settings.

    [host]
    autoload = true               # plugins of installed packages (entry points, group "stretto")
    disable  = ["resamplers"]     # found, listed, not imported
    order    = ["mine"]           # asked first, in this order
    require  = ["mine"]           # the start fails if one of these is not on
    paths    = ["mine.py"]        # single files, relative to this file
    slow_import_s = 1.0           # a plugin whose import takes longer is told of in its row
    hook_limit_s = 60.0           # a hook that takes longer is reported while it does
    step_limit_s = 600.0          # so are `run_step` and what offers build; without it they never are
    max_failures = 5              # in a row, then a plugin is switched off; 0 is never
    [plugins.mine]                # read into the dataclass `Settings` of the plugin named `mine`
    tile = 512

A plugin with settings has a frozen dataclass `Settings` at the top of its module and asks
`host.plugin_settings("mine", Settings)`, which answers with an instance, all defaults without a table.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt

from ..errors import ConfigurationError, did_you_mean
from .tables import read_table

__all__ = [
    "FILE_NAME",
    "HOST_KEYS",
    "VARIABLE",
    "HostTable",
    "Switches",
    "file_in_force",
    "parse_switches",
    "read_switches",
]

FILE_NAME = "plugins.toml"
VARIABLE = "STRETTO_PLUGINS"
# Keys of `[plugins.NAME]` that say how the host runs the plugin; the plugin does not see them.
HOST_KEYS = ("isolated", "time_limit_s", "memory_limit_bytes")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTable:
    """The table `[host]`, key by key."""

    autoload: bool = True
    disable: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    slow_import_s: Annotated[float, Gt(0.0)] = 1.0
    hook_limit_s: Annotated[float, Gt(0.0)] = 60.0  # a hook that takes longer is reported
    step_limit_s: Annotated[float, Gt(0.0)] | None = (
        None  # so are `run_step` and what specs build; None: never
    )
    max_failures: Annotated[int, Ge(0)] = 5  # in a row, then a plugin is switched off; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches(HostTable):
    """All of plugins.toml: `[host]`, the tables `[plugins.NAME]` as they stand, and the file it was.

    `target` is the file that changes are written to: that one, or the one to be made. `said` are the keys that
    stand in `[host]`, None without that table.
    """

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    file: Path | None = None
    target: Path | None = field(default=None, compare=False)
    said: tuple[str, ...] | None = field(default=None, compare=False)

    @property
    def source(self) -> str:
        """Name the file in messages."""
        return str(self.file or self.target or FILE_NAME)

    def own_table(self, name: str) -> Mapping[str, Any]:
        """Give what `[plugins.NAME]` says to the plugin, without the keys that are the host's."""
        return {key: value for key, value in self.tables.get(name, {}).items() if key not in HOST_KEYS}

    def plugin_settings(self, name: str, into: type[T]) -> T:
        """Read `[plugins.NAME]` into the dataclass `into`, its defaults where there is no table.

        Raises ConfigurationError naming file, table, key and the nearest key.
        """
        return read_table(self.own_table(name), into, f"{self.source}: [plugins.{name}]")


def file_in_force(named: Path | None = None, data_dir: Path | None = None) -> Path | None:
    """Give the plugins file: `named`, else $STRETTO_PLUGINS, else the working folder's, else the data directory's.

    None where there is none. Raises ConfigurationError when a file that was named is not there.
    """
    named = named or _from_environment()
    if named is not None:
        file = named.absolute()
        if not file.is_file():
            raise ConfigurationError(
                f"there is no plugins file {file}; write one, or leave it out to use all plugins"
            )
        return file
    folders = [Path(), *([] if data_dir is None else [data_dir])]
    found = (folder.absolute() / FILE_NAME for folder in folders)
    return next((file for file in found if file.is_file()), None)


def read_switches(path: Path | None = None, data_dir: Path | None = None) -> Switches:
    """Read the file that is `file_in_force`; without one everything has its default.

    Raises ConfigurationError when a file that was named is not there, or when something in it is unknown.
    """
    file = file_in_force(path, data_dir)
    if file is None:
        return Switches(target=None if data_dir is None else data_dir.absolute() / FILE_NAME)
    try:
        return parse_switches(file.read_text("utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def parse_switches(text: str, file: Path) -> Switches:
    """Read `text` as what stands in `file`; raises ConfigurationError for what is unknown or of a wrong type."""
    tables = _parsed(text, file)
    for key in tables:
        if key not in ("host", "plugins"):
            raise ConfigurationError(
                f"{file}: unknown table [{key}]; {did_you_mean(key, ['host', 'plugins'])}"
            )
    said = _table(tables, "host", str(file))
    host = read_table(said, HostTable, f"{file}: [host]")
    own = _table(tables, "plugins", str(file))
    kept: dict[str, Any] = {entry.name: getattr(host, entry.name) for entry in fields(HostTable)}
    kept["paths"] = tuple((file.parent / entry).resolve() for entry in host.paths)
    return Switches(
        **kept,
        tables={name: _table(own, name, f"{file}: plugins") for name in own},
        file=file,
        target=file,
        said=tuple(said) if "host" in tables else None,
    )


def _from_environment() -> Path | None:
    value = os.environ.get(VARIABLE)
    return Path(value) if value else None


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error


def _table(tables: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = tables.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: '{key}' must be a table, not {value!r}")
    return value
