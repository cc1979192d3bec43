"""plugins.toml: which plugins are on, who is asked first, and the plugins' own settings.

    [host]
    autoload = true               # plugins of installed packages (entry points, group "stretto")
    disable  = ["resamplers"]     # found, listed, not imported
    order    = ["mine"]           # asked first, in this order
    require  = ["mine"]           # the start fails if one of these is not on
    paths    = ["mine.py"]        # single files, relative to this file
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
from typing import Any, TypeVar

from ..errors import ConfigurationError, did_you_mean
from .tables import read_table

__all__ = ["FILE_NAME", "HOST_KEYS", "VARIABLE", "HostTable", "Switches", "read_switches"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches(HostTable):
    """All of plugins.toml: `[host]`, the tables `[plugins.NAME]` as they stand, and the file it was."""

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    file: Path | None = None

    @property
    def source(self) -> str:
        """Name the file in messages."""
        return str(self.file or FILE_NAME)

    def own_table(self, name: str) -> Mapping[str, Any]:
        """Give what `[plugins.NAME]` says to the plugin, without the keys that are the host's."""
        return {key: value for key, value in self.tables.get(name, {}).items() if key not in HOST_KEYS}

    def plugin_settings(self, name: str, into: type[T]) -> T:
        """Read `[plugins.NAME]` into the dataclass `into`, its defaults where there is no table.

        Raises ConfigurationError naming file, table, key and the nearest key.
        """
        return read_table(self.own_table(name), into, f"{self.source}: [plugins.{name}]")


def read_switches(path: Path | None = None) -> Switches:
    """Read plugins.toml: `path`, else $STRETTO_PLUGINS, else the working folder's; absent = defaults.

    Raises ConfigurationError when a file that was named is not there, or when something in it is unknown.
    """
    named = path or _from_environment()
    file = (named or Path(FILE_NAME)).absolute()
    if not file.is_file():
        if named is None:
            return Switches()
        raise ConfigurationError(
            f"there is no plugins file {file}; write one, or leave it out to use all plugins"
        )
    tables = _parsed(file)
    for key in tables:
        if key not in ("host", "plugins"):
            raise ConfigurationError(
                f"{file}: unknown table [{key}]; {did_you_mean(key, ['host', 'plugins'])}"
            )
    host = read_table(_table(tables, "host", str(file)), HostTable, f"{file}: [host]")
    own = _table(tables, "plugins", str(file))
    kept: dict[str, Any] = {entry.name: getattr(host, entry.name) for entry in fields(HostTable)}
    kept["paths"] = tuple((file.parent / entry).resolve() for entry in host.paths)
    return Switches(**kept, tables={name: _table(own, name, f"{file}: plugins") for name in own}, file=file)


def _from_environment() -> Path | None:
    value = os.environ.get(VARIABLE)
    return Path(value) if value else None


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error


def _table(tables: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = tables.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: '{key}' must be a table, not {value!r}")
    return value
