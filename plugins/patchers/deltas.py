"""What an adapter's factors add to a layer's weight: LoRA, LoCon, LoHa, LoKr, and DoRA's rescaling.

Formulas: LoRA https://arxiv.org/abs/2106.09685, LoHa https://arxiv.org/abs/2108.06098, LoKr and the
Tucker forms of convolutions https://arxiv.org/abs/2309.14859, DoRA https://arxiv.org/abs/2402.09353.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch

__all__ = ["FORMS", "changed", "delta"]

Factors = Mapping[str, torch.Tensor]
Shape = tuple[int, ...]
CONVOLUTION = 4
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
    """Give `weight`, (out, in[, k, k]) in float32, changed by `factors` to the degree of `strength`.

    Raises ValueError where the factors are not for a weight of that shape.
    """
    whole = weight + strength * delta(factors, tuple(weight.shape))
    return _rescaled(whole, factors) if factors.keys() & {"magnitude", "dora_scale"} else whole


def delta(factors: Factors, shape: Shape) -> torch.Tensor:
    """Give what is added to a weight of `shape` at full strength; ValueError for factors of another shape."""
    made = _product(factors, shape)
    if made.numel() != prod(shape) or made.shape[0] != shape[0]:
        raise ValueError(f"it changes {list(made.shape)} and the layer has {list(shape)}")
    return made.reshape(shape)


def _product(factors: Factors, shape: Shape) -> torch.Tensor:
    if "diff" in factors:
        return factors["diff"]
    if "down" in factors:
        return _lora(factors) * _scale(factors, factors["down"].shape[0])
    if "hada_w1_a" in factors:
        return _loha(factors) * _scale(factors, factors["hada_w1_b"].shape[0])
    return _lokr(factors, shape)


def _scale(factors: Factors, rank: int) -> float:
    """Give alpha / rank; a file without an alpha means its rank."""
    alpha = factors.get("alpha")
    return 1.0 if alpha is None else float(alpha) / rank


def _lora(factors: Factors) -> torch.Tensor:
    up, down, mid = factors["up"], factors["down"], factors.get("mid")
    if mid is not None:  # (rank, rank, k, k) between two convolutions of one pixel
        return _tucker(mid, up.flatten(1).T, down.flatten(1))
    product = up.flatten(1) @ down.flatten(1)
    return product.reshape(up.shape[0], *down.shape[1:])


def _loha(factors: Factors) -> torch.Tensor:
    sides = []
    for number in ("1", "2"):
        first, second = factors[f"hada_w{number}_a"], factors[f"hada_w{number}_b"]
        core = factors.get(f"hada_t{number}")
        sides.append(first @ second if core is None else _tucker(core, first, second))
    return sides[0] * sides[1]


def _lokr(factors: Factors, shape: Shape) -> torch.Tensor:
    """Give kron(w1, w2); either may be a product of two, and then alpha counts against its rank."""
    first, second = factors.get("lokr_w1"), factors.get("lokr_w2")
    ranks = [factors[name].shape[0] for name in ("lokr_w2_b", "lokr_w1_b") if name in factors]
    if first is None:
        first = factors["lokr_w1_a"] @ factors["lokr_w1_b"]
    if second is None:
        core, left, right = factors.get("lokr_t2"), factors["lokr_w2_a"], factors["lokr_w2_b"]
        second = left @ right if core is None else _tucker(core, left, right)
    kernel = shape[2:]
    if kernel and second.ndim != CONVOLUTION:
        second = second.reshape(second.shape[0], -1, *kernel)
    first = first.reshape(*first.shape, *([1] * len(kernel)))
    return torch.kron(first, second.contiguous()) * (_scale(factors, ranks[0]) if ranks else 1.0)


def _tucker(core: torch.Tensor, out: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """Give (out, in, k, k) of a core (r, r, k, k), (r, out) and (r, in)."""
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
    before: torch.Tensor = torch.linalg.vector_norm(weight, dim=others, keepdim=True)
    return weight * (lengths.reshape(before.shape) / before)
