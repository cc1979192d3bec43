"""Engines that tests built, kept for the list that `make test` prints at its end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from stretto.api.cli.main import run

__all__ = ["keep"]

PLACE = "KEPT_ENGINES"  # an engine directory; nothing is kept where it is not set


def keep(engines: Path) -> None:
    """Carry the engines of one directory into the kept ones, by the commands that carry them between machines."""
    place = os.environ.get(PLACE)
    if not place:
        return
    with tempfile.TemporaryDirectory() as folder:
        archive, data = Path(folder) / "engines.tar", ["--data-dir", folder]
        for command, kept in (("export", engines), ("import", Path(place))):
            status = run(["engines", command, str(archive), "--engine-dir", str(kept), *data])
            assert status == 0, f"engines of a test could not be kept: {command} ended with {status}"
