"""What is known of an isolated plugin by asking its process."""

from __future__ import annotations

from pathlib import Path

from ...isolation.proxies import IsolatedPlugin
from ..trial import Subject
from .report import BreachError
from .supplies import Supplies

__all__ = ["look_there"]


def look_there(subject: Subject, name: str, supplies: Supplies) -> tuple[str, str]:
    """Have the process of the isolated plugin say what it imported; gives its module and the file that this is from.

    From now on its memory counts. Raises PluginError for one that a host does not take.
    """
    plugin = supplies.host.board.named(subject.name)
    if not isinstance(plugin, IsolatedPlugin):
        raise BreachError(f"the host has '{subject.name}' from elsewhere than {subject.environment}")
    remote = plugin.remote
    supplies.processes = lambda: () if remote.pid is None else (remote.pid,)
    said = remote.call("imported")
    file = said["file"] and str(Path(said["file"]).resolve())  # the environment's own, and no link to it
    supplies.apart = name, file
    supplies.imports[supplies.apart] = list(said["modules"])
    return supplies.apart
