"""The options that every command shares: where the data is and which plugins are taken."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from platformdirs import user_data_dir
from stretto.host.settings import Folders, Settings

from ..postgres import PostgresServer, server_of

if TYPE_CHECKING:
    from ..entities import Records

__all__ = ["Place", "as_json", "own_command", "place_options"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The data directory, the database and the plugins file that one command works with.

    Without a server the database is a file in the data directory. Without a plugins file the host looks
    at STRETTO_PLUGINS and then for plugins.toml in the working folder and in the data directory.
    """

    folders: Folders
    plugins_file: Path | None
    server: PostgresServer | None = None

    @property
    def database(self) -> Path | PostgresServer:
        """Say where the database is, or will be."""
        from ..store import database_file

        return self.server or database_file(self.folders.root)

    @property
    def has_database(self) -> bool:
        """Say whether there is one to open, without one being made; ConfigurationError when a server does not say."""
        from ..migrations import version_of

        return self.database.is_file() if isinstance(self.database, Path) else version_of(self.database) > 0

    @contextmanager
    def records(self) -> Iterator[Records]:
        """Open the database, made when it is not there; raises ConfigurationError when it cannot be used."""
        from ..entities import open_database, torn_said

        with torn_said(self.database), closing(open_database(self.database)) as records:
            yield records

    def settings(self, *, upgrade: bool = True) -> Settings:
        """Give the settings that the server keeps here, or the defaults where none has run yet.

        Without `upgrade` a database of another schema is left as it is, and the defaults are given.
        """
        from ..migrations import LATEST, version_of
        from ..settings_store import SettingsStore

        if not self.has_database or not (upgrade or version_of(self.database) == LATEST):
            return Settings()
        with self.records() as records:
            return SettingsStore(records).load()


def place_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command `--data-dir`, `--database` and `--plugins` as one `Place`, its first argument."""

    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="STRETTO_DATA_DIR",
        help="Where images, models and the database are kept. [env: STRETTO_DATA_DIR; "
        "default: the user's data folder]",
    )
    @click.option(
        "--database",
        "url",
        envvar="STRETTO_DATABASE",
        help="A PostgreSQL database in which records are kept: postgres://USER:PASSWORD@HOST:PORT/NAME, or "
        "postgres://USER@/NAME?host=/var/run/postgresql over a socket. [env: STRETTO_DATABASE; default: SQLite "
        "in the data directory]",
    )
    @click.option(
        "--plugins",
        "plugins_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Which plugins are taken. [env: STRETTO_PLUGINS; default: ./plugins.toml, or the data directory's]",
    )
    @click.option(
        "--engine-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="STRETTO_ENGINE_DIR",
        help="Where compiled engines are kept, which several data directories may share. "
        "[env: STRETTO_ENGINE_DIR; default: `engines` in the data directory]",
    )
    @functools.wraps(command)
    def placed(
        *args: Any,
        data_dir: Path | None,
        engine_dir: Path | None,
        url: str | None,
        plugins_file: Path | None,
        **kwargs: Any,
    ) -> R:
        root = data_dir or Path(user_data_dir("stretto", appauthor=False))
        folders = Folders(root.absolute(), engine_dir and engine_dir.absolute())
        server = server_of(url) if url else None
        place = Place(folders=folders, plugins_file=plugins_file, server=server)
        return command(place, *args, **kwargs)

    return placed


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def own_command() -> str:
    """Give the words that start this program here: `stretto`, or the path to it."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which("stretto")
    if own.name != "stretto" or (found and Path(found).absolute() == own):
        return "stretto"
    working = Path.cwd()
    return os.fspath(own.relative_to(working)) if own.is_relative_to(working) else os.fspath(own)
