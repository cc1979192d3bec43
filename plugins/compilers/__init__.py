"""The compilers that come with the host, each in a file of its own."""

from __future__ import annotations

from collections.abc import Iterable

from stretto.host import CompilerSpec, HostView, hookimpl

from . import onnxruntime, tensorrt, torch_compile

__all__ = ["register_compilers"]


@hookimpl
def register_compilers(host: HostView) -> Iterable[CompilerSpec]:  # noqa: ARG001 - the hook's signature
    """Offer ONNX Runtime, TensorRT, TensorRT-RTX and torch.compile."""
    return (*onnxruntime.OFFERS, *tensorrt.OFFERS, *torch_compile.OFFERS)
