"""Building one engine: the model with its patches, its graph, the compiler, and the check where it can run."""

from __future__ import annotations

from ..contracts.protocols import Bench, Frame
from ..contracts.steps import Compile
from ..engine.patching import patched

__all__ = ["compile_engine"]


def compile_engine(step: Compile, frame: Frame, bench: Bench) -> Frame:
    """Build what the step says, unless it is there; raises EngineBuildError, or EngineOpenError if it fails its check."""
    bench.tick(step.why, ticks=0)
    with patched(step.model, bench) as model:
        bench.build(model, step.build, step.size_px)
    bench.tick(step.why)
    return frame
