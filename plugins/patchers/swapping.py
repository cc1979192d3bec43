"""Puts other values into parameters for a while; what was there comes back to the bit."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Swaps"]


@dataclass(frozen=True, slots=True)
class Swaps:
    """Changes of parameters; each is undone when `undo` closes, the last one first.

    Where the device has `room`, a parameter gets new storage and its own waits beside it; else it is
    written over, and what was there waits in main memory.
    """

    undo: ExitStack
    room: bool

    @classmethod
    def on(cls, device: torch.device, undo: ExitStack) -> Swaps:
        """Look for room: in main memory always, on a CUDA device while half of its memory is free."""
        import torch

        if device.type != "cuda":
            return cls(undo, room=device.type == "cpu")
        free_bytes, all_bytes = torch.cuda.mem_get_info(device)
        return cls(undo, room=2 * free_bytes > all_bytes)

    def write(self, parameter: Any, value: torch.Tensor) -> None:
        """Put `value` into the parameter, in the parameter's own type and order in memory."""
        from torch import empty_like, no_grad

        with no_grad():
            if self.room:
                self.undo.callback(_swap, parameter, parameter.data)
                alike = value.dtype == parameter.dtype and value.stride() == parameter.stride()
                parameter.data = value if alike else empty_like(parameter).copy_(value)
            else:
                self.undo.callback(_refill, parameter, parameter.to("cpu", copy=True))
                parameter.copy_(value)


def _swap(parameter: Any, before: torch.Tensor) -> None:
    parameter.data = before


def _refill(parameter: Any, before: torch.Tensor) -> None:
    from torch import no_grad

    with no_grad():
        parameter.copy_(before)
