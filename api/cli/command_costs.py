"""What a command of a plugin took: added to what its plugin costs, where there is a data directory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from stretto.host.errors import StrettoError

if TYPE_CHECKING:
    from stretto.host.contracts.routes import CommandSpec

__all__ = ["HOOK", "costing"]

HOOK = "command"
_ANSWERS = (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError)


@contextmanager
def costing(owner: str, spec: CommandSpec, root_of: Callable[[], Path]) -> Iterator[None]:
    """Time what is done for a command, and count what it raises; `root_of` gives the data directory afterwards.

    An error of our tree that is the plugin's failure says so from now on, as in every other call into a plugin.
    """
    begun, failed = time.perf_counter(), ""
    try:
        yield
    except _ANSWERS:
        raise
    except Exception as error:
        from stretto.host.plugboard.culprit import accused, is_innocent, reason

        module = str(getattr(spec.build, "__module__", ""))
        roots = dict.fromkeys((module, module.partition(".")[0]), frozenset({owner}))
        if not is_innocent(error, roots, owner):
            doing = f"its command '{spec.name}'"
            failed = f"{doing} raised {reason(error)}"
            if isinstance(error, StrettoError):
                raise accused(owner, doing, error) from error.__cause__
        raise
    finally:
        _keep(root_of(), owner, time.perf_counter() - begun, failed)


def _keep(root: Path, owner: str, seconds: float, failed: str) -> None:
    if not os.path.isdir(root):  # noqa: PTH112 - which raises for a folder that may not be looked into
        return
    from stretto.host.contracts.costs import Spent
    from stretto.host.plugboard.totals import Totals

    totals = Totals(root)
    totals.add(
        [Spent(plugin=owner, hook=HOOK, calls=1, seconds=seconds, failures=int(failed != ""), last=failed)]
    )
    totals.write()
