"""Input images that no job needs any more, thrown away at the server's leisure."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pony.orm import DatabaseError, db_session

from .entities import Records

__all__ = ["KEEP_S", "sweep_inputs", "sweeping"]

_log = logging.getLogger(__name__)

KEEP_S = 7 * 24 * 3600.0  # since an image was last sent; the command's jobs leave no row
EVERY_S = 6 * 3600.0
PLANS = 200  # read at once
DIGEST = re.compile(r"[0-9a-f]{64}")
ASIDE = ".swept"


def sweep_inputs(folder: Path, records: Records, older_than_s: float = KEEP_S) -> int:
    """Remove images that were last sent long ago and that no plan of any job names; say how many."""
    horizon = time.time() - older_than_s
    old = {file.stem: file for file in folder.glob("*.png") if _sent(file) < horizon}
    for text in _plans(records) if old else ():
        for digest in DIGEST.findall(text):
            old.pop(digest, None)
        if not old:
            break
    return sum(_removed(file, horizon) for file in old.values())


@contextmanager
def sweeping(folder: Path, records: Records) -> Iterator[None]:
    """Sweep in a thread meanwhile, at once and then every six hours."""
    ended = threading.Event()
    thread = threading.Thread(target=_sweep, args=(folder, records, ended), name="leftovers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sweep(folder: Path, records: Records, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            gone = sweep_inputs(folder, records)
        except (OSError, DatabaseError):  # a full disk, a busy database; the next turn finds the same files
            _log.exception("input images could not be swept; they stay until the next turn")
        else:
            if gone:
                _log.info("%d input images that no job names were removed", gone)
        ended.wait(EVERY_S)


def _plans(records: Records) -> Iterator[str]:
    last = 0
    while True:
        with db_session:
            rows = records.database.select(
                "SELECT id, plan FROM invocation WHERE id > $last ORDER BY id LIMIT $most",
                {},
                {"last": last, "most": PLANS},
            )
        if not rows:
            return
        last = rows[-1][0]
        yield from (text for _, text in rows)


def _sent(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another process swept it
        return time.time()


def _removed(file: Path, horizon: float) -> bool:
    """Remove a file unless it was sent again meanwhile: whoever takes it in touches it, or finds it gone."""
    aside = file.with_suffix(ASIDE)
    try:
        file.rename(aside)
        if aside.stat().st_mtime >= horizon:
            aside.replace(file)
            return False
        aside.unlink()
    except FileNotFoundError:
        return False
    return True
