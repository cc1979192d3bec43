"""What a host does about its plugins' calls: counts them, keeps what they cost, switches off whoever keeps failing.

A plugin's failures in jobs are counted by jobs, as the worker tells of them at their ends; all others by calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from ..contracts.costs import Measured, Spent
from ..contracts.events import Event
from ..errors import StrettoError
from ..plugboard.calls import Calls
from ..plugboard.guard import SPARED, Guard, keep_off, read_off, why_off
from ..plugboard.switches import Switches
from ..plugboard.totals import Totals
from ..plugboard.watch import Limits

__all__ = ["Guarding"]

_TAKER = "totals"
_PATIENCE_S = 1.0  # for the file of who is off: a job waits meanwhile
logger = logging.getLogger(__name__)


class Guarding:
    """The guard of one host, a context: plugins are minded while it lasts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.calls = Calls()
        self._guard = Guard(self._reached)
        self._require: frozenset[str] = frozenset()
        self._totals: Totals | None = None
        self._own = ""
        self._dropped: Callable[[str, str], None] = lambda _name, _why: None
        self._off: dict[str, str] = {}
        self._unkept: dict[str, str] = {}  # who is off here, and not in the file yet

    def use(self, switches: Switches) -> Mapping[str, str]:
        """Go by these limits from now on, and give which plugins are switched off, and why; none that is required.

        Raises ConfigurationError for a file of them that cannot be read.
        """
        found = read_off(self._root)
        self._require = frozenset(switches.require)
        self._guard.most = switches.max_failures
        self.calls.watch.limits = Limits(hook_s=switches.hook_limit_s, step_s=switches.step_limit_s)
        for name in sorted(found.keys() & self._require):
            logger.warning("the plugin '%s' was %s; it is on, as it is required", name, found[name])
        self._off = {
            name: why for name, why in {**self._unkept, **found}.items() if name not in self._require
        }
        return dict(self._off)

    @property
    def switched_off(self) -> tuple[str, ...]:
        """Name the plugins that are switched off."""
        return tuple(self._off)

    def __enter__(self) -> Self:
        """Begin to look for calls that take too long."""
        self.calls.watch.open()
        return self

    def __exit__(self, *_: object) -> None:
        """End the looking, and keep what is not kept yet."""
        self.calls.watch.close()
        if self._totals is not None:
            self._totals.add(self.calls.ledger.take(_TAKER))
            self._totals.write()
        self._keep_off()

    def keep(self, dropped: Callable[[str, str], None]) -> None:
        """Begin to add up costs and failures; `dropped` takes a plugin off that is switched off, for a reason."""
        if self._totals is None:
            self._totals = Totals(self._root)
            self.calls.watch.chores.append(self._chore)
        self._dropped = dropped
        self.calls.ledger.heard = self._guard.note

    def serve(self, tell: Callable[[Event], None]) -> None:
        """Work for another process, which counts, and hears of overruns at once."""
        self.calls.watch.tell = lambda spent: tell(Measured(job="", plugins=(spent,)))

    def own(self, job: str) -> None:
        """Hear that a job runs in this process, whose calls are counted one by one."""
        self._own = job

    def hear(self, event: Event) -> None:
        """Count what the worker tells of a job."""
        if not isinstance(event, Measured) or (event.job and event.job == self._own) or self._totals is None:
            return
        self._totals.add(event.plugins)
        for one in event.plugins:
            self._judge(one)

    # -- inside --------------------------------------------------------------------------------

    def _judge(self, one: Spent) -> None:
        if one.failures:
            self._guard.note(one.plugin, one.hook, one.last or "the worker died")
        elif one.calls:
            self._guard.note(one.plugin, one.hook, None)

    def _chore(self) -> None:
        if self._totals is not None and self._totals.due:
            self._totals.add(self.calls.ledger.take(_TAKER))
            self._totals.write()
            self._keep_off()

    def _keep_off(self) -> None:
        """Write down who is off and could not be written before."""
        for name, why in tuple(self._unkept.items()):
            try:
                keep_off(self._root, name, why, _PATIENCE_S)
            except (OSError, StrettoError) as error:
                logger.debug("the plugin '%s' is still off in this process alone: %s", name, error)
            else:
                self._unkept.pop(name, None)
                logger.warning("that the plugin '%s' is switched off is kept now", name)

    def _reached(self, name: str, count: int, last: str) -> None:
        if name in SPARED or name in self._require:
            why = "it is required" if name in self._require else "nothing is drawn without it"
            logger.error(
                "the plugin '%s' failed %d times in a row (the last: %s); it stays on, as %s",
                name,
                count,
                last,
                why,
            )
            return
        why = why_off(name, count, last)
        try:
            keep_off(self._root, name, why, _PATIENCE_S)
        except (OSError, StrettoError) as error:
            self._unkept[name] = why
            logger.error(  # noqa: TRY400 - it says all
                "that the plugin '%s' is switched off cannot be kept, and is tried again: %s", name, error
            )
        logger.error("the plugin '%s' is %s", name, why)
        self._off[name] = why
        self._dropped(name, why)
