"""The side of a build that is built in: one order comes in, words about progress go out, and it ends with its parent.

One line of JSON comes in, the order; lines of JSON go out, `{"phase", "share"}` while it works and at the end
`{"peak_bytes"}`. What libraries print goes to the error stream, where the parent reads why it failed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Tell", "serve"]

Tell = Callable[[str, float | None], None]  # a phase, and how much of it is done


def serve(work: Callable[[Mapping[str, Any], Tell], None]) -> None:
    """Do the work that is ordered; every failure ends the process with its own words."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    words = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _step_aside()
    lock = threading.Lock()

    def tell(phase: str, share: float | None) -> None:
        with lock:  # builders have threads of their own
            words.write(json.dumps({"phase": phase, "share": share}) + "\n")

    work(order, tell)
    words.write(json.dumps({"peak_bytes": _peak_bytes()}) + "\n")


def _end_with_parent() -> None:
    """Wait for the order's stream to close: a parent that died cannot end its child."""
    while os.read(0, 1):  # a thread that holds `sys.stdin` would not let the interpreter end
        continue
    os._exit(1)


def _step_aside() -> None:
    """Let pictures come first on a busy machine, and be the first to go where memory runs out."""
    if hasattr(os, "nice"):
        os.nice(10)
    score = Path("/proc/self/oom_score_adj")  # see proc(5)
    if score.exists():
        score.write_text("1000", encoding="ascii")


def _peak_bytes() -> int | None:
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # see getrusage(2)
    return getrusage(RUSAGE_SELF).ru_maxrss * unit
