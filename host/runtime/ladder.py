"""The ladder of a full device: what is tried, in which order, before a step gives up.

A step that ran out of memory begins anew, from the pictures and the seed that it began with, so that
what it draws is the same however it came about. Every rung is written into the job's record first.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..contracts.protocols import Frame
from ..contracts.steps import Diffuse, Fill, Rediffuse, Refine, Step
from ..errors import OutOfMemoryError

if TYPE_CHECKING:
    from ..engine.relief import Rung
    from .bench import JobBench

__all__ = ["climb"]

# Steps that draw: only these have samples to take apart, and a VAE.
DRAWING = Diffuse | Refine | Rediffuse | Fill


def climb(step: Step, bench: JobBench, attempt: Callable[[], Frame]) -> Frame:
    """Do a step, if need be with less and less on the device at once.

    Raises OutOfMemoryError with all that was tried when the last rung does not hold either.
    """
    mark = bench.mark()
    done = _tried(attempt, bench)
    if isinstance(done, Frame):
        return done
    from ..engine.device import free_cache
    from ..engine.relief import Rung

    climbed: list[Rung] = []
    said: list[str] = []
    for rung in Rung:
        if rung is not Rung.OFFLOAD and not isinstance(step, DRAWING):
            continue
        gc.collect()  # what the failed attempt had on the device may hang in cycles
        free_cache()
        what = bench.relieve() if rung is Rung.OFFLOAD else _WORDS[rung.value]
        if what is None:
            continue
        climbed.append(rung)
        said.append(what)
        bench.back_to(mark)
        bench.say_eased(step.why, what)
        with bench.eased(frozenset(climbed)):
            done = _tried(attempt, bench)
        if isinstance(done, Frame):
            return done
    tried = f" This was tried before: {'; '.join(said)}." if said else ""
    bound = bench.bound_bytes
    limit = f" The limit is {bound} bytes (setting memory_limit_bytes)." if bound else ""
    raise OutOfMemoryError(f"{done}{tried}{limit}")


_WORDS = {
    "tiles": "the VAE works on one picture at a time, in tiles of 256 px",
    "rows": "one sample at a time, and guidance's two halves after each other",
}


def _tried(attempt: Callable[[], Frame], bench: JobBench) -> Frame | str:
    """Give the frame, or the words of the error; the error itself would keep alive what filled the device."""
    try:
        return bench.do(attempt)
    except Exception as error:
        # torch's own class is known by its name, so that torch is not imported to look
        if isinstance(error, OutOfMemoryError):
            return str(error)
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return f"The device has no room for this step ({error})."
        raise
