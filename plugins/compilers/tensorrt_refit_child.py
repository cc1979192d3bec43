"""Puts other weights into one TensorRT engine: the work of a process of its own, on the engine's GPU."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .child import Tell, serve

__all__ = ["refit"]


def refit(order: Mapping[str, Any], tell: Tell) -> None:
    """Write the plan that `order` describes: `library`, `onnx` (whose weights it takes), `from` and `plan`."""
    tell("load the engine", None)
    trt = importlib.import_module(order["library"])
    logger = trt.Logger(trt.Logger.ERROR)
    runtime = trt.Runtime(logger)
    engine = runtime and runtime.deserialize_cuda_engine(Path(order["from"]).read_bytes())
    if not engine:
        raise SystemExit(f"{order['from']} cannot be loaded here")
    if not engine.refittable:
        raise SystemExit("it was built to keep its weights")
    tell("put the weights in", None)
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_file(order["onnx"]):
        said = "; ".join(parser.get_error(place).desc() for place in range(parser.num_errors))
        raise SystemExit(f"the graph's weights are not the engine's: {said}")
    if missing := refitter.get_missing_weights():
        raise SystemExit(f"the graph lacks weights of the engine: {', '.join(sorted(missing)[:4])}")
    if not refitter.refit_cuda_engine():
        raise SystemExit("the library did not take the weights")
    tell("write the engine", None)
    config = engine.create_serialization_config()
    config.set_flag(trt.SerializationFlag.INCLUDE_REFIT)  # so that the next weights can be put in, too
    Path(order["plan"]).write_bytes(memoryview(engine.serialize_with_config(config)))


if __name__ == "__main__":
    serve(refit)
