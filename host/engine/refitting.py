"""Other weights into an engine that is there, as of a LoRA, instead of building one from the beginning.

All weights are taken anew, from the base with every adapter merged, so that nothing of an earlier one stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from stretto.trt_cache.store import StoredEngine

from ..contracts.engines import Compiler, Network, Refitter
from ..errors import EngineBuildError

__all__ = ["refitted"]


def refitted(
    compiler: Compiler,
    network: Network,
    kin: StoredEngine | None,
    out: Path,
    report: Callable[[str, float | None], None],
) -> bool:
    """Write into `out` the engine `kin` with the weights of `network`; False where it is to be built.

    `kin` is of the same architecture, for the same target. Why it did not work `report` hears.
    """
    if kin is None or not isinstance(compiler, Refitter):
        return False
    report(f"put weights into the engine {kin.digest[:12]}", None)
    try:
        compiler.refit(network, kin.path / "engine", kin.key.target, out, report)
    except EngineBuildError as error:
        report(f"the engine {kin.digest[:12]} does not take other weights ({error}); build one", None)
        for left in out.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        return False
    return True
