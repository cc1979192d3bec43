"""The folders of a data directory: made when a host opens, and looked at before it draws."""

from __future__ import annotations

import os

from ..errors import ConfigurationError
from ..settings import Folders

__all__ = ["check_writable", "make"]


def make(folders: Folders) -> None:
    """Make them; raises ConfigurationError where that cannot be."""
    try:
        folders.create()
    except OSError as error:
        raise ConfigurationError(
            f"the data directory {folders.root} cannot be used ({error.strerror}: {error.filename}); "
            "name another one, in which you may write"
        ) from error


def check_writable(folders: Folders) -> None:
    """Find out before a model is loaded that its pictures could not be kept."""
    for folder in (folders.images, folders.intermediates):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"nobody may write to {folder}, where pictures are kept; make it writable, or name another "
                "data directory"
            )
