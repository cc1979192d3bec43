"""Runs TensorRT engines on torch's tensors: their memory is bound as it lies, nothing goes over the CPU.

An engine for one size of pictures is replayed as a CUDA graph, one for each batch; what takes many sizes, and what
cannot be captured, is enqueued call by call. Outputs are tensors of their own at every call.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from stretto.host import EngineOpenError, Network, Port, Profile

from .cuda_graphs import Graphs, Replayed, Tensors, held
from .shapes import is_one_size

__all__ = ["OpenEngine"]

_GRAPHS = 4  # batches whose graphs are kept; each has a context, and so memory for what is in between


class OpenEngine:
    """An engine on its GPU, with a stream of its own; implements the contracts' `CompiledNetwork`."""

    def __init__(self, library: str, plan: Path, network: Network, profile: Profile, device: str) -> None:
        self._plan = plan
        self._ports = network.inputs, network.outputs
        self._trt = importlib.import_module(library)
        self._logger = _logger(self._trt)
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
            self._runtime = self._trt.Runtime(self._logger)  # the engine needs it as long as it lives
            self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
            if self._engine is None:
                raise self._broken("it cannot be loaded here")
            self._check_names()
            self._config = _eager(self._trt, self._engine) if is_one_size(profile) else None
            self._context = self._new_context()
        self._graphs = None
        if is_one_size(profile):
            self._graphs = Graphs(
                f"the engine {plan}", self._captured, most=_GRAPHS, settle=self._stream.synchronize
            )

    def __call__(self, inputs: Tensors) -> tuple[torch.Tensor, ...]:
        """Give the outputs in their order; raises EngineOpenError for shapes outside of the profile."""
        if self._engine is None:
            raise self._broken("it is closed")
        given = {port.name: inputs[port.name].contiguous() for port in self._ports[0]}
        # the stream takes over once the inputs are there, and hands back to whoever asked
        asking = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(asking)
        with torch.cuda.stream(self._stream):
            made = self._graphs(given) if self._graphs else None
            if made is None:
                made = self._bind(self._context, given)
                self._enqueue(self._context)
        asking.wait_stream(self._stream)
        for tensor in (*given.values(), *made):  # the allocator may not hand these on too early
            tensor.record_stream(self._stream)
            tensor.record_stream(asking)
        return made

    def close(self) -> None:
        """Give the GPU's memory back; idempotent."""
        if self._engine is None:
            return
        self._stream.synchronize()
        if self._graphs:
            self._graphs.clear()
        self._context = self._config = self._engine = None

    def _captured(self, given: Tensors) -> Replayed:
        """Capture a call in a context of its own, on copies of its inputs; raises EngineOpenError."""
        context = self._new_context()
        inputs = held(given)
        outputs = self._bind(context, inputs)
        self._enqueue(context)  # what is lazy happens outside of the graph
        self._stream.synchronize()
        # TensorRT-RTX knows; TensorRT finds it out while it is captured
        able = getattr(context, "is_stream_capturable", None)
        if able is not None and not able(self._stream.cuda_stream):
            raise self._broken("its work cannot be captured")
        graph = torch.cuda.CUDAGraph()
        try:
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._enqueue(context)
        except RuntimeError as error:
            raise self._broken(f"its work cannot be captured: {error}") from error
        return Replayed(replay=graph.replay, inputs=inputs, outputs=outputs, uses=(graph, context))

    def _bind(self, context: Any, given: Tensors) -> tuple[torch.Tensor, ...]:
        """Tell a context where inputs lie and outputs go."""
        for name, tensor in given.items():
            if not context.set_input_shape(name, tuple(tensor.shape)):
                raise self._broken(f"it does not take {name} of {tuple(tensor.shape)}")
            context.set_tensor_address(name, tensor.data_ptr())
        made = []
        for port in self._ports[1]:
            shape = tuple(context.get_tensor_shape(port.name))
            with torch.inference_mode(mode=False):  # a graph's are written to again
                tensor = torch.empty(shape, dtype=getattr(torch, port.dtype), device=self._stream.device)
            context.set_tensor_address(port.name, tensor.data_ptr())
            made.append(tensor)
        return tuple(made)

    def _enqueue(self, context: Any) -> None:
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise self._broken("it does not run")

    def _new_context(self) -> Any:
        told = () if self._config is None else (self._config,)
        context = self._engine.create_execution_context(*told)
        if context is None:
            raise self._broken("there is no memory to run it")
        return context

    def _check_names(self) -> None:
        engine = self._engine
        there = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        wanted: set[str] = {port.name for ports in self._ports for port in ports}
        if there != wanted:
            raise self._broken(f"it has {', '.join(sorted(there))}, not {', '.join(sorted(wanted))}")
        for port in (*self._ports[0], *self._ports[1]):
            self._check_type(port)

    def _check_type(self, port: Port) -> None:
        kinds = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16", "int64": "INT64"}
        found = self._engine.get_tensor_dtype(port.name)
        if found != getattr(self._trt.DataType, kinds[port.dtype]):
            raise self._broken(f"its {port.name} is {found}, not {port.dtype}")

    def _broken(self, why: str) -> EngineOpenError:
        said = f" ({self._logger.last})" if self._logger.last else ""
        return EngineOpenError(f"the engine {self._plan} cannot be used: {why}{said}")


def _eager(trt: Any, engine: Any) -> Any:
    """Have TensorRT-RTX make the kernels of a batch at its first call, once for all contexts; None for TensorRT.

    Else it makes them while others serve, and a graph would hold on to the slower ones.
    """
    kinds = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
    if kinds is None:
        return None
    config = engine.create_runtime_config()
    config.dynamic_shapes_kernel_specialization_strategy = kinds.EAGER
    config.set_runtime_cache(config.create_runtime_cache())
    return config


def _logger(trt: Any) -> Any:
    """Give a logger that keeps the last error, for messages of ours."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the library is chosen by name
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.last = message[:400]

    return Logger()
