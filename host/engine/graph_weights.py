"""The weights that a graph holds: with what runs beside them merged in, in the precision that is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..contracts.engines import Component
from ..contracts.models import Precision
from ..errors import EngineBuildError
from .device import dtype_of

__all__ = ["converted", "merge_beside", "precision_of"]

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


def precision_of(network: Any) -> Precision:
    """Say what a network computes in."""
    dtype = next(network.parameters()).dtype
    return next(one for one in Precision if dtype_of(one) is dtype)


def merge_beside(network: Any, component: Component) -> None:
    """Merge what patches have laid beside weights, as hooks of objects that can `merge`, until they are undone.

    Raises EngineBuildError for a hook that cannot, since a graph would be without it.
    """
    for name, module in network.named_modules():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):  # noqa: SLF001 - no public way
            owner: Any = getattr(hook, "__self__", None)
            if _records(hook):
                continue
            if not hasattr(owner, "merge"):
                raise EngineBuildError(
                    f"{component}: something hooked to the layer '{name}' changes what it gives, and cannot be "
                    "merged into its weights; leave that out, or draw without acceleration"
                )
            if owner.pending:
                owner.merge()


def converted(network: nn.Module, dtype: torch.dtype) -> Any:
    """Give a copy of a network whose numbers are of another type; hooks that change anything stay behind."""
    memory: dict[int, Any] = {}
    for module in network.modules():
        for name in _HOOKS:
            hooks = getattr(module, name)
            memory[id(hooks)] = OrderedDict((key, hook) for key, hook in hooks.items() if _records(hook))
    with torch.inference_mode(mode=False), torch.no_grad():
        # converted one by one, so that there is never a third copy of the weights
        for tensor in _tensors(network):
            if tensor.is_floating_point():
                made = tensor.to(dtype, copy=True)
                held = nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made
                memory[id(tensor)] = held
        return deepcopy(network, memory)


def _records(hook: Any) -> bool:
    """Say whether a hook is one by which transformers takes down every layer's output, and changes nothing."""
    return getattr(hook, "__module__", "") == "transformers.utils.output_capturing"


def _tensors(network: nn.Module) -> Iterable[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()
