"""What a host has of its plugins at one time: what plugins.toml says, the board, and the weights that they offer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..catalog.library import Library
from ..contracts.protocols import Bench, Frame
from ..contracts.steps import Step
from ..hookspecs import hookimpl
from ..isolation.isolation import isolated
from ..planning.build import CorePlanning
from ..plugboard.board import Board
from ..plugboard.switches import Switches
from .limits import usable_ram_bytes

if TYPE_CHECKING:
    from .host import Host

__all__ = ["Fittings", "fit_out"]

PATIENCE_S = 10.0  # for requests that are being planned by plugins which go


class LazySteps:
    """The host's own run_step; imports the engine when the first step is run."""

    @hookimpl(trylast=True)
    def run_step(self, step: Step, frame: Frame, bench: Bench) -> Frame | None:
        """Run a step that no plugin took."""
        from ..steps.dispatch import CoreSteps

        result: Frame | None = CoreSteps().run_step(step=step, frame=frame, bench=bench)
        return result


@dataclass(slots=True, eq=False)
class Fittings:
    """`board` and `library` are None while plugins make their offers."""

    switches: Switches
    board: Board | None = None
    library: Library | None = None
    apart: ExitStack = field(default_factory=ExitStack)  # ends the plugins that are isolated
    _users: int = 0
    _left: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep isolated plugins from being ended meanwhile."""
        with self._left:
            self._users += 1
        try:
            yield
        finally:
            with self._left:
                self._users -= 1
                self._left.notify_all()

    def close(self) -> None:
        """Tell the plugins that the host stops, and end those that are isolated; idempotent."""
        if self.board is not None:
            self.board.retire(())
        self.end()
        if self.board is not None:
            self.board.close()

    def end(self) -> None:
        """End the plugins that are isolated, ten seconds after requests that they are planning at the latest."""
        with self._left:
            self._left.wait_for(lambda: not self._users, PATIENCE_S)
        self.apart.close()


def fit_out(host: Host, made: Fittings, before: Board | None = None) -> None:
    """Plug in what `made` says; plugins of the board `before` that are as they were are not imported again.

    Raises ConfigurationError, PluginClashError or PluginError as `Board.open` does; `made` is closed then.
    """
    with ExitStack() as undone:
        apart = isolated(made.switches, host, usable_ram_bytes)
        undone.callback(apart.close)
        board = Board.open(
            made.switches,
            host,
            [CorePlanning(), LazySteps()],
            more=apart.candidates(),
            off=host.guarding.use(made.switches),
            calls=host.guarding.calls,
            before=before,
        )
        undone.callback(board.close)
        library = Library(host.folders, dict(board.registry("models").items()))
        undone.pop_all()
    made.board, made.library = board, library
    made.apart.callback(apart.close)
