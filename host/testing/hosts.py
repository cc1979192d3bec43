"""Opens hosts over a folder of their own, with the built-in plugins and those that are to be tried."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contracts.ports import JobStore
from ..errors import PluginError
from ..settings import Folders, Settings
from .apart import show, tables_of
from .trial import Plugin, on_trial, switches_for

if TYPE_CHECKING:
    from ..runtime.host import Host

__all__ = ["opened_host"]


@contextmanager
def opened_host(
    root: Path,
    *,
    plugins: Sequence[Plugin] = (),
    settings: Settings | Mapping[str, Any] | None = None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    models: Mapping[str, Path] | None = None,
    store: JobStore | None = None,
) -> Iterator[Host]:
    """Open a host over the data directory `root / "data"`, with `tables` as the plugins' settings.

    `models` are copied into its model folders, each under its name. With a `store` it is started, and runs in its worker what is submitted. Raises PluginError for a
    plugin of `plugins` that is not on, with the reason.
    """
    from ..runtime.host import Host

    chosen = settings if isinstance(settings, Settings) else Settings(**(settings or {}))
    root.mkdir(parents=True, exist_ok=True)
    with on_trial(plugins, root / "tried") as subjects:
        file = root / "plugins.toml"
        file.write_text(switches_for(subjects, {**tables_of(subjects), **(tables or {})}), "utf-8")
        folders = Folders(root / "data")
        show(subjects, folders.environments)
        for name, folder in (models or {}).items():
            shutil.copytree(folder, folders.model_folder("diffusers") / name)
        with Host.open(folders, chosen, plugins_file=file, store=store) as host:
            names = {subject.name for subject in subjects}
            for row in host.plugins():
                if row.name in names and row.status != "on":
                    raise PluginError(f"the plugin '{row.name}' is {row.status}: {row.reason}")
            if store is not None:
                host.start()
            yield host
