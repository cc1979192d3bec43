"""Runs ONNX files on ONNX Runtime's CPU provider, as a judge of what was exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

__all__ = ["outputs_of"]


def outputs_of(path: Path, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Give what the file's network makes of `inputs`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {name: tensor.cpu().numpy() for name, tensor in inputs.items()}
    return tuple(torch.from_numpy(output) for output in session.run(None, feeds))
