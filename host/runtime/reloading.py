"""Other plugins for a host that runs: a new board is opened beside the one at work, and takes over once it is whole.

Whatever is wrong with the new one, the host goes on with what it has. Jobs that wait keep their plans, and are run
by another worker. What the old one had is ended when nobody uses it any more, which nobody but the change itself waits for.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StrettoError
from ..plugboard.alterations import Alteration, altered, sole_writer, write_text
from ..plugboard.discover import GROUP
from ..plugboard.guard import OFF_NAME
from ..plugboard.imports import or_as_before
from ..plugboard.switches import Switches, file_in_force, read_switches
from .fittings import Fittings, fit_out

if TYPE_CHECKING:
    from ..plugboard.board import Board
    from .host import Host

__all__ = ["STAMP_NAME", "Reloading", "ring"]

STAMP_NAME = ".plugins-changed"  # in the data directory; touched when packages came or went
Check = Callable[["Board"], None]
logger = logging.getLogger(__name__)


def ring(data_dir: Path) -> None:
    """Have a server that runs over a data directory look at its plugins anew."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / STAMP_NAME).touch()


class Reloading:
    """Changes the plugins of one host; safe to use from several threads.

    `named` is the plugins file that the host was told to use, if it was.
    """

    def __init__(self, host: Host, named: Path | None) -> None:
        self._host = host
        self._named = named
        self._lock = threading.RLock()
        self._busy = threading.local()
        self._seen = self._stamp()
        self._ending: list[threading.Thread] = []

    def look(self) -> None:
        """Take up what was changed since the last time; what cannot be is logged, and the plugins stay as they are."""
        if getattr(self._busy, "here", False) or self._stamp() == self._seen:
            return
        with self._lock:
            stamp = self._stamp()
            if stamp == self._seen:  # another thread was faster
                return
            self._seen = stamp  # whatever comes of it, it is tried once
            try:
                before = self._go_to(self._switches())
            except StrettoError as error:
                logger.error("the plugins were changed, and stay as they are, for %s", error)  # noqa: TRY400  # says it all
                return
            self._ending = [thread for thread in self._ending if thread.is_alive()]
            thread = threading.Thread(target=before.end, name="plugins-that-go")
            thread.start()  # whoever looked has asked for something else
            self._ending.append(thread)

    def change(
        self,
        alteration: Alteration | Callable[[Switches], Alteration],
        check: Check = lambda _board: None,
    ) -> None:
        """Write an alteration into plugins.toml and go by it at once; `check` may refuse the board that comes of it.

        A function is given what plugins.toml says while nobody else changes it.

        Raises what `altered`, `Board.open` and `check` raise, with the file and the plugins as they were.
        """
        with self._lock, sole_writer(self._host.folders.root):
            began = self._stamp()  # what else is changed from now on is for the next look
            before = self._switches()
            text, switches = altered(before, alteration(before) if callable(alteration) else alteration)

            def keep() -> None:
                if switches != before:
                    write_text(switches, text)
                self._seen = (self._stamp()[0], *began[1:])

            old = self._go_to(switches, check, keep)
        old.end()  # others may look, plan and change meanwhile

    def close(self) -> None:
        """Wait until all that was taken over from is ended; idempotent."""
        with self._lock:
            ending, self._ending = self._ending, []
        for thread in ending:
            thread.join()

    def _switches(self) -> Switches:
        return read_switches(self._named, self._host.folders.root)

    def _go_to(
        self,
        switches: Switches,
        check: Check = lambda _board: None,
        keep: Callable[[], object] = lambda: None,
    ) -> Fittings:
        """Have a new board take over, and give what it took over from, which is still to be ended."""
        host, before, new = self._host, self._host.fittings, Fittings(switches)
        old = host.board
        importlib.invalidate_caches()  # packages may have come
        self._busy.here = True
        try:
            with or_as_before(GROUP), host.trying(new):
                fit_out(host, new, old)
                staying = self._started(new, old, check, keep)
            host.fit(new)
            old.retire(staying)
        except BaseException:
            host.guarding.use(host.fittings.switches)  # its limits, again
            raise
        finally:
            self._busy.here = False
        logger.info("the plugins are as %s says now", switches.source)
        return before

    def _started(
        self, new: Fittings, old: Board, check: Check, keep: Callable[[], object]
    ) -> Collection[str]:
        """Start what is new on a board, which is kept then, and name the plugins that stay."""
        board = self._host.board
        staying = old.staying(board)
        try:
            check(board)
            if old.started:
                board.start(staying)
                check(board)
            keep()
        except BaseException:
            board.retire(staying)
            new.end()
            raise
        return staying

    def _stamp(self) -> tuple[object, ...]:
        """Give what tells whether anything was changed."""
        root = self._host.folders.root
        try:
            file = file_in_force(self._named, root)
        except StrettoError:  # the one that was named is gone, which reading it will say
            file = None
        return tuple(_seen(one) for one in (file, root / OFF_NAME, root / STAMP_NAME))


def _seen(file: Path | None) -> object:
    try:
        stat = None if file is None else file.stat()
    except OSError:
        stat = None
    return None if stat is None else (str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino)
