"""Runs ONNX files on ONNX Runtime's CPU provider, as a judge of what was exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

__all__ = ["outputs_of"]

_QUIET = 3  # errors alone


def outputs_of(
    path: Path, calls: Iterable[Mapping[str, torch.Tensor]], *, widen: bool
) -> list[tuple[torch.Tensor, ...]]:
    """Give what the file's network makes of the inputs of each call.

    ONNX Runtime has hardly an operator for bfloat16 on CPUs: with `widen` such a network's weights are
    as they are, and what is computed with them is float32.
    """
    if not widen:
        return _run(path, calls)
    with TemporaryDirectory(dir=path.parent) as folder:
        return _run(_widened(path, Path(folder)), calls)


def _run(path: Path, calls: Iterable[Mapping[str, torch.Tensor]]) -> list[tuple[torch.Tensor, ...]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = []
    for inputs in calls:
        feeds = {name: _plain(tensor).numpy() for name, tensor in inputs.items()}
        found.append(tuple(torch.from_numpy(output) for output in session.run(None, feeds)))
    return found


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    here = tensor.detach().cpu()
    return here.float() if here.dtype is torch.bfloat16 else here


def _widened(path: Path, folder: Path) -> Path:
    """Write the network with float32 wherever it has bfloat16."""
    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load(path)
    for tensor in (*model.graph.initializer, *_constants(model.graph)):
        if tensor.data_type == TensorProto.BFLOAT16:
            wide = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in {"to", "stash_type"} and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    made = folder / path.name
    onnx.save_model(model, made, save_as_external_data=True, location=f"{path.name}.data")
    return made


def _constants(graph: Any) -> list[Any]:
    """Give the tensors that stand in nodes rather than beside them."""
    return [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
