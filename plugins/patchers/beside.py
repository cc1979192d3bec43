"""Runs a LoRA beside large layers on a CPU, and merges it where that has become cheaper.

To merge is to write a matrix anew, which takes as long as loading it; beside it, two narrow products
are added to every call instead (Hu et al. 2021, https://arxiv.org/abs/2106.09685). How many calls come
is not known, so a layer is merged once its calls have cost as much as merging it: at most twice of
what is best, as in the ski rental problem (Karlin et al. 1988, https://doi.org/10.1007/BF01762111).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .deltas import CONVOLUTION, changed, rank_scale
from .swapping import Swaps

if TYPE_CHECKING:
    import torch

    Factors = Mapping[str, torch.Tensor]

__all__ = ["LARGE", "Beside", "fits_beside", "merge_pending", "stand_beside"]

# A smaller matrix is written in less time than a call takes.
LARGE = 2**12
# Measured on one core of a Xeon with AVX-512. Only the proportions matter, and that they are constant:
# a rule by the clock would merge at another call every time, and round differently.
MERGE_NS, MERGE_NS_EACH = 60_000, 1.1  # for a matrix, and for each element of it
CALL_NS, CALLS_PER_NS = 25_000, 10  # for a call, and how many multiplications are done in a nanosecond
LOW_RANK = frozenset({"down", "up", "alpha"})


@dataclass(frozen=True, eq=False)
class _Term:
    """One adapter of a layer; its factors are made ready when the layer is first called."""

    factors: Factors
    strength: float
    dtype: torch.dtype

    @cached_property
    def down(self) -> torch.Tensor:
        """Give the first factor, (rank, in[, k, k])."""
        import torch

        down = self.factors["down"]
        order = torch.channels_last if down.ndim == CONVOLUTION else torch.contiguous_format
        return down.to(self.dtype).contiguous(memory_format=order)

    @cached_property
    def up(self) -> torch.Tensor:
        """Give the second factor, (rank, out), scaled."""
        by = self.strength * rank_scale(self.factors, self.factors["down"])
        return (self.factors["up"].float().flatten(1).T * by).to(self.dtype).contiguous()

    def merged(self, weight: torch.Tensor) -> torch.Tensor:
        """Give a weight with this term added, in float32."""
        return changed(weight, {name: value.float() for name, value in self.factors.items()}, self.strength)


class Beside:
    """A hook that adds low-rank terms to what a layer gives; several adapters share one.

    With `for_good` it never merges, for layers that are called a few times in a drawing.
    """

    def __init__(self, layer: Any, *, for_good: bool) -> None:
        self._layer = layer
        self._terms: list[_Term] = []
        self._price_ns = MERGE_NS + MERGE_NS_EACH * layer.weight.numel()
        self._paid_ns = 0.0
        self._for_good = for_good
        self._merged: ExitStack | None = None
        self._hook = layer.register_forward_hook(self._added, with_kwargs=True)

    @property
    def pending(self) -> bool:
        """Say whether the layer's weight is still its own."""
        return self._merged is None

    def add(self, term: _Term) -> None:
        """Add a term, for all calls from now on."""
        self._terms.append(term)

    def remove(self, term: _Term) -> None:
        """Take a term away; a weight that it was merged into is its own again."""
        if self._merged is not None:
            self._merged.close()
            self._merged = None
        self._terms.remove(term)
        if not self._terms:
            self._hook.remove()

    def merge(self) -> None:
        """Merge all terms, in the order in which they came."""
        import torch

        self._merged = ExitStack()
        swaps = Swaps.on(self._layer.weight.device, self._merged)
        with torch.inference_mode(mode=False), torch.no_grad():
            weight = self._layer.weight
            for term in self._terms:
                weight = term.merged(weight)
            swaps.write(self._layer.weight, weight)

    def _added(self, layer: Any, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> Any:
        if not self.pending:
            return out
        taken = given[0] if given else named["input"]
        for term in self._terms:
            out = _with(term, layer, taken, out)
            called = out.numel() // layer.weight.shape[0] * (term.down.numel() + term.up.numel())
            self._paid_ns += CALL_NS + called / CALLS_PER_NS
        if self._paid_ns >= self._price_ns and not self._for_good:
            self.merge()
        return out


def fits_beside(layer: Any, factors: Factors) -> bool:
    """Say whether `factors` are a plain LoRA of a large linear layer or convolution on the CPU, and fit it."""
    from torch import nn

    weight = layer.weight
    if (
        weight.device.type != "cpu"
        or weight.numel() < LARGE
        or not {"down", "up"} <= factors.keys() <= LOW_RANK
    ):
        return False
    plain = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros"
    if not plain and type(layer) is not nn.Linear:
        return False
    down, up = factors["down"], factors["up"]
    ones = (1,) * (weight.ndim - 2)
    return down.shape[1:] == weight.shape[1:] and up.shape == (weight.shape[0], down.shape[0], *ones)


def stand_beside(layer: Any, factors: Factors, strength: float, undo: ExitStack, *, for_good: bool) -> None:
    """Have a layer that `fits_beside` give what it would with `factors` merged, until `undo` closes.

    Raises ValueError for an alpha that is not one number.
    """
    rank_scale(factors, factors["down"])
    term = _Term(factors, strength, layer.weight.dtype)
    beside = next((one for one in _hooks(layer) if one.pending), None) or Beside(layer, for_good=for_good)
    beside.add(term)
    undo.callback(beside.remove, term)


def merge_pending(layer: Any) -> None:
    """Merge what stands beside a layer, before its weight is changed in a way that depends on what it is."""
    for beside in _hooks(layer):
        if beside.pending:
            beside.merge()


def _hooks(layer: Any) -> list[Beside]:
    bound = (getattr(hook, "__self__", None) for hook in layer._forward_hooks.values())  # noqa: SLF001 - no public way
    return [owner for owner in bound if isinstance(owner, Beside)]


def _with(term: _Term, layer: Any, taken: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add one term to what a layer gave; in place where the order in memory lets it."""
    if term.down.ndim == CONVOLUTION:  # channels last, so that each pixel is a row
        # what the layer itself calls, with borders as it sees them
        narrow = layer._conv_forward(taken, term.down, None)  # noqa: SLF001 - it has no other name
        narrow, rows = narrow.movedim(1, -1), out.movedim(1, -1)
    else:
        narrow, rows = taken @ term.down.T, out
    if rows.is_contiguous():
        rows.view(-1, rows.shape[-1]).addmm_(narrow.reshape(-1, narrow.shape[-1]), term.up)
        return out
    rows += narrow @ term.up
    return out
