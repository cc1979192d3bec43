"""The compilers that come with the host, each in a file of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stretto.host import CompilerSpec, HostView, hookimpl

from . import onnxruntime, tensorrt, torch_compile

__all__ = ["Settings", "register_compilers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How compilers build engines."""

    refit: bool = field(
        default=True,
        metadata={
            "description": "Lets TensorRT build engines on their GPU that take a LoRA's weights without being built "
            "anew; such an engine may draw somewhat slower than one that keeps its weights."
        },
    )


@hookimpl
def register_compilers(host: HostView) -> Iterable[CompilerSpec]:
    """Offer ONNX Runtime, TensorRT, TensorRT-RTX and torch.compile."""
    settings = host.plugin_settings("compilers", Settings)
    return (*onnxruntime.OFFERS, *tensorrt.offers(refits=settings.refit), *torch_compile.OFFERS)
