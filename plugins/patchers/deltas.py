"""What an adapter's factors add to a layer's weight: LoRA, LoCon, LoHa, LoKr, and DoRA's rescaling.

Formulas: LoRA https://arxiv.org/abs/2106.09685, LoHa https://arxiv.org/abs/2108.06098, LoKr and the
Tucker forms of convolutions https://arxiv.org/abs/2309.14859, DoRA https://arxiv.org/abs/2402.09353.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Factors = Mapping[str, torch.Tensor]

__all__ = ["CONVOLUTION", "FORMS", "changed", "delta", "rank_scale"]

Shape = tuple[int, ...]
MATRIX, CONVOLUTION = 2, 4  # dimensions
# a layer is changed by any one of these, whole
FORMS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            ("down", "up"),
            ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
            ("lokr_w1", "lokr_w2"),
            ("lokr_w1", "lokr_w2_a", "lokr_w2_b"),
            ("lokr_w1_a", "lokr_w1_b", "lokr_w2"),
            ("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"),
            ("diff",),
        ),
    )
)


def changed(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    """Give `weight`, (out, in[, k, k]), changed by `factors` to the degree of `strength`, in float32.

    Raises ValueError where the factors are not for a weight of that shape.
    """
    # in place: on large layers fresh memory costs more than arithmetic
    whole = delta(factors, tuple(weight.shape), strength).add_(weight)
    return _rescaled(whole, factors) if factors.keys() & {"magnitude", "dora_scale"} else whole


def delta(factors: Factors, shape: Shape, strength: float = 1.0) -> torch.Tensor:
    """Give what is added to a weight of `shape`; raises ValueError for factors of another shape."""
    made = _product(factors, shape, strength)
    if made.ndim == 0 or made.numel() != prod(shape) or made.shape[0] != shape[0]:
        raise ValueError(f"it changes {list(made.shape)} and the layer has {list(shape)}")
    return made.reshape(shape)


def _product(factors: Factors, shape: Shape, strength: float) -> torch.Tensor:
    """Multiply the factors, the strength with the smallest of them since products are large."""
    if "diff" in factors:
        return factors["diff"] * strength
    if "down" in factors:
        return _lora(factors, strength)
    if "hada_w1_a" in factors:
        return _loha(factors, strength)
    return _lokr(factors, shape, strength)


def rank_scale(factors: Factors, second: torch.Tensor) -> float:
    """Give alpha / rank, the rank being the rows of the `second` factor; without an alpha it is meant to be the rank."""
    alpha = factors.get("alpha")
    if alpha is None:
        return 1.0
    if alpha.numel() != 1 or not second.ndim:
        raise ValueError(f"its alpha is {list(alpha.shape)}, and the layer has one number")
    return float(alpha) / second.shape[0]


def _lora(factors: Factors, strength: float) -> torch.Tensor:
    down, mid = factors["down"], factors.get("mid")
    up = factors["up"] * (strength * rank_scale(factors, down))
    if mid is not None:  # (rank, rank, k, k) between two convolutions of one pixel
        return _tucker(mid, up.flatten(1).T, down.flatten(1))
    return _times(up.flatten(1), down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def _loha(factors: Factors, strength: float) -> torch.Tensor:
    sides = []
    scale = strength * rank_scale(factors, factors["hada_w1_b"])
    for number, by in (("1", scale), ("2", 1.0)):
        first, second = factors[f"hada_w{number}_a"] * by, factors[f"hada_w{number}_b"]
        core = factors.get(f"hada_t{number}")
        sides.append(_times(first, second) if core is None else _tucker(core, first, second))
    if sides[0].shape != sides[1].shape:
        raise ValueError(
            f"its halves change {list(sides[0].shape)} and {list(sides[1].shape)} of what the layer has"
        )
    return sides[0].mul_(sides[1])


def _lokr(factors: Factors, shape: Shape, strength: float) -> torch.Tensor:
    """Give kron(w1, w2); either may be a product of two, and then alpha counts against its rank."""
    first, second = factors.get("lokr_w1"), factors.get("lokr_w2")
    halves = [factors[name] for name in ("lokr_w2_b", "lokr_w1_b") if name in factors]
    if first is None:
        first = _times(factors["lokr_w1_a"], factors["lokr_w1_b"])
    if second is None:
        core, left, right = factors.get("lokr_t2"), factors["lokr_w2_a"], factors["lokr_w2_b"]
        second = _times(left, right) if core is None else _tucker(core, left, right)
    kernel = shape[2:]
    if kernel and second.ndim == MATRIX and second.shape[1] % prod(kernel) == 0:
        second = second.reshape(second.shape[0], -1, *kernel)
    first = first.reshape(*first.shape, *([1] * len(kernel)))
    scale = strength * (rank_scale(factors, halves[0]) if halves else 1.0)
    return (first * scale).kron(second.contiguous())


def _times(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    if left.ndim != MATRIX or right.ndim != MATRIX or left.shape[1] != right.shape[0]:
        raise ValueError(f"it multiplies {list(left.shape)} by {list(right.shape)}, as no layer has it")
    return left @ right


def _tucker(core: torch.Tensor, out: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """Give (out, in, k, k) of a core (r, r, k, k), (r, out) and (r, in)."""
    ranks = out.shape[:1] + into.shape[:1]
    if core.ndim != CONVOLUTION or out.ndim != MATRIX or into.ndim != MATRIX or core.shape[:2] != ranks:
        raise ValueError(f"its core is {list(core.shape)} between ranks {list(ranks)}, as no layer has it")
    import torch

    made: torch.Tensor = torch.einsum("ijkl,jr,ip->prkl", core, into, out)
    return made


def _rescaled(weight: torch.Tensor, factors: Factors) -> torch.Tensor:
    """Give every output of `weight` the length that DoRA learnt (every input, in LyCORIS' older files)."""
    lengths = factors["magnitude"] if "magnitude" in factors else factors["dora_scale"]
    # peft's are (out) or (1, out, 1, 1), LyCORIS' (out, 1[, 1, 1]) or (1, in[, 1, 1])
    by_input = "magnitude" not in factors and lengths.ndim > 1 and lengths.shape[0] != weight.shape[0]
    kept = 1 if by_input else 0
    if lengths.numel() != weight.shape[kept]:
        raise ValueError(f"its magnitudes are {list(lengths.shape)} and the layer has {list(weight.shape)}")
    others = [side for side in range(weight.ndim) if side != kept]
    before = weight.square().sum(dim=others, keepdim=True).sqrt()
    return weight * (lengths.reshape(before.shape) / before)
