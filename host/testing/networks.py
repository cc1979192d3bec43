"""Tiny networks for pictures, made in milliseconds: an ESRGAN with random weights, a background remover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["esrgan_tensors", "make_tiny_esrgan", "make_tiny_remover"]

GROWTH = 32  # channels that each convolution of a dense block adds; spandrel detects no other number


def esrgan_tensors(*, channels: int = 4, blocks: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Draw the tensors of a 4x ESRGAN under Real-ESRGAN's names; its pictures are grey with some texture."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    tensors = {}

    def convolution(name: str, inward: int, outward: int, gain: float = 1.0) -> None:
        drawn = torch.randn((outward, inward, 3, 3), generator=generator)
        tensors[f"{name}.weight"] = drawn * gain / (9 * inward) ** 0.5
        tensors[f"{name}.bias"] = torch.zeros(outward)

    convolution("conv_first", 3, channels)
    for block in range(blocks):
        for dense in (1, 2, 3):
            for layer in range(4):
                convolution(f"body.{block}.rdb{dense}.conv{layer + 1}", channels + layer * GROWTH, GROWTH)
            convolution(f"body.{block}.rdb{dense}.conv5", channels + 4 * GROWTH, channels)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        convolution(name, channels, channels, gain=1.5)
    convolution("conv_last", channels, 3)
    tensors["conv_last.bias"] += 0.5
    return tensors


def make_tiny_esrgan(path: Path, *, channels: int = 4, blocks: int = 1, seed: int = 0) -> Path:
    """Write such a network as `.safetensors`, or in Real-ESRGAN's own layout as `.pth`."""
    tensors = esrgan_tensors(channels=channels, blocks=blocks, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, path)
    else:
        import torch

        torch.save({"params_ema": tensors}, path)
    return path


def make_tiny_remover(path: Path, *, side_px: int = 320) -> Path:
    """Write an ONNX file of 175 bytes with U2-Net's input and output: what is dark is the subject."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    mean = numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32), "W")
    steepness = numpy_helper.from_array(np.array(-6.0, np.float32), "k")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["in", "W"], ["m"]),
            helper.make_node("Mul", ["m", "k"], ["z"]),
            helper.make_node("Sigmoid", ["z"], ["out"]),
        ],
        "u2",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, side_px, side_px])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, side_px, side_px])],
        [mean, steepness],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
