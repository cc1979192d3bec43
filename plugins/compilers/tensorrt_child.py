"""Builds one TensorRT engine: the work of a process of its own, which its parent watches and may end at any time."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .child import Tell, serve

__all__ = ["build"]

_OFTEN_S = 0.1  # between two words about progress


def build(order: Mapping[str, Any], tell: Tell) -> None:
    """Write the plan that `order` describes.

    It has `library`, `onnx`, `plan`, `capabilities`, `shapes`, `refittable` and `capturable`.
    """
    tell("load the builder", None)
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
            if order["capturable"]:
                config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
            return config

    profile = Profile()
    for name, (low, tuned, high) in order["shapes"].items():
        profile.add(name, tuple(low), tuple(tuned), tuple(high))
    tell("read the graph", None)
    network = network_from_onnx_path(order["onnx"], strongly_typed=True)
    config = Config(profiles=[profile], progress_monitor=_monitor(trt, tell), refittable=order["refittable"])
    Path(order["plan"]).write_bytes(memoryview(engine_bytes_from_network(network, config=config)))


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
                tell(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in steps and time.monotonic() - told[0] >= _OFTEN_S:
                told[0] = time.monotonic()
                tell(phase_name, min(1.0, (step + 1) / steps[phase_name]))
            return True

        def phase_finish(self, phase_name: str) -> None:
            if steps.pop(phase_name, None):
                tell(phase_name, 1.0)

    return Monitor()


if __name__ == "__main__":
    serve(build)
