"""Networks whose repeated blocks are compiled one by one: fewer seconds than the whole, most of the gain.

The blocks belong to a twin of the network that shares its weights, so that the network itself stays as it is.
Compiled kernels are kept as torch's "mega-cache", see torch.compiler.save_cache_artifacts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from stretto.host import EngineOpenError, Network, Profile

from .shapes import is_one_size

__all__ = ["Blocks", "compile_blocks"]

# What diffusers' and transformers' networks repeat, by the names of the classes.
_REPEATED = {"BasicTransformerBlock", "ResnetBlock2D", "CLIPEncoderLayer"}
_SIZES = 256  # widths and sizes of one class that may be compiled; torch's own limit is 8


class Blocks:
    """A network with compiled blocks; implements the contracts' `CompiledNetwork`."""

    def __init__(self, artifacts: bytes, network: Network, profile: Profile, device: str) -> None:
        if artifacts:
            torch.compiler.load_cache_artifacts(artifacts)
        fixed = is_one_size(profile)
        # graphs are for one size each; without CUDA there are none
        self._graphs = device.startswith("cuda") and fixed
        self._names = [port.name for port in network.inputs]
        self._twin: torch.nn.Module | None = _twin(network.module(), {})
        for block in self._twin.modules():
            if any(kind.__name__ in _REPEATED for kind in type(block).__mro__):
                block.compile(
                    fullgraph=True,
                    dynamic=None if fixed else True,
                    mode="reduce-overhead" if self._graphs else None,
                )

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Give the outputs; sizes that are new are compiled first."""
        if self._twin is None:
            raise EngineOpenError("the engine is closed")
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # torch's own
        limits = {"recompile_limit": _SIZES, "accumulated_recompile_limit": _SIZES}
        with torch.inference_mode(), torch._dynamo.config.patch(limits):  # noqa: SLF001 - has no public name
            made = self._twin(*(inputs[name] for name in self._names))
        # the next call writes to the memory of this one's graphs
        return tuple(tensor.clone() if self._graphs else tensor for tensor in made)

    def close(self) -> None:
        """Let the twin go; idempotent. The kernels of a process stay with it."""
        self._twin = None


def compile_blocks(network: Network, profile: Profile) -> bytes:
    """Compile the blocks by running them; give what torch keeps of it."""
    lengths = {name: span.opt for name, span in profile.items()}
    inputs = network.sample(lengths)
    device = next(iter(inputs.values())).device.type
    blocks = Blocks(b"", network, profile, device)
    try:
        blocks(inputs)
    finally:
        blocks.close()
    kept = torch.compiler.save_cache_artifacts()
    return kept[0] if kept else b""


def _twin(module: torch.nn.Module, made: dict[int, Any]) -> torch.nn.Module:
    """Give the same module of modules of its own, over the same weights."""
    if id(module) not in made:
        twin = made[id(module)] = copy.copy(module)
        twin.__dict__ = dict(module.__dict__)
        twin._modules = {}  # noqa: SLF001 - what a module is made of has no other name
        for name, child in module._modules.items():  # noqa: SLF001 - the same
            twin._modules[name] = None if child is None else _twin(child, made)  # noqa: SLF001 - the same
    found: torch.nn.Module = made[id(module)]
    return found
