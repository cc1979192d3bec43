"""Builds one TensorRT engine in a process of its own, which its parent watches and may end at any time.

One line of JSON comes in, the order; lines of JSON go out: `{"phase", "share"}` while it builds, and at the
end `{"peak_bytes"}`. What the libraries print goes to the error stream, where the parent reads why it failed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["main"]

_OFTEN_S = 0.1  # between two words about progress
Tell = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Read the order, build, and write the plan; every failure ends the process with its own words."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    words = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _step_aside()
    lock = threading.Lock()

    def tell(said: Mapping[str, Any]) -> None:
        with lock:
            words.write(json.dumps(said) + "\n")

    plan = _build(order, tell)
    Path(order["plan"]).write_bytes(plan)
    tell({"peak_bytes": _peak_bytes()})


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


def _build(order: Mapping[str, Any], tell: Tell) -> memoryview:
    tell({"phase": "load the builder", "share": None})
    trt = importlib.import_module(order["library"])
    # polygraphy serves the library that POLYGRAPHY_USE_TENSORRT_RTX names when it is imported
    from polygraphy.backend.trt import (
        CreateConfig,
        Profile,
        engine_bytes_from_network,
        network_from_onnx_path,
    )
    from polygraphy.logger import G_LOGGER

    G_LOGGER.module_severity = G_LOGGER.ERROR

    class Config(CreateConfig):  # type: ignore[misc]  # polygraphy has no types
        """Names the GPUs that the engine is for; without, it is for the one that is here."""

        def call_impl(self, builder: Any, network: Any) -> Any:
            config = super().call_impl(builder, network)
            names = order["capabilities"]
            if names:
                config.num_compute_capabilities = len(names)
            for place, name in enumerate(names):
                config.set_compute_capability(getattr(trt.ComputeCapability, name), place)
            return config

    profile = Profile()
    for name, (low, tuned, high) in order["shapes"].items():
        profile.add(name, tuple(low), tuple(tuned), tuple(high))
    tell({"phase": "read the graph", "share": None})
    network = network_from_onnx_path(order["onnx"], strongly_typed=True)
    config = Config(profiles=[profile], progress_monitor=_monitor(trt, tell))
    return memoryview(engine_bytes_from_network(network, config=config))


def _monitor(trt: Any, tell: Tell) -> Any:
    """Give a progress monitor that tells of the outermost phases, from the builder's own threads."""
    steps: dict[str, int] = {}
    told = [0.0]

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the library is chosen by name
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                steps[phase_name] = max(1, num_steps)
                tell({"phase": phase_name, "share": 0.0})

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in steps and time.monotonic() - told[0] >= _OFTEN_S:
                told[0] = time.monotonic()
                tell({"phase": phase_name, "share": min(1.0, (step + 1) / steps[phase_name])})
            return True

        def phase_finish(self, phase_name: str) -> None:
            if steps.pop(phase_name, None):
                tell({"phase": phase_name, "share": 1.0})

    return Monitor()


def _peak_bytes() -> int | None:
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # see getrusage(2)
    return getrusage(RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
