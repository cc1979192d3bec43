"""Inputs that look like what a network sees when it draws, drawn from a seed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..contracts.engines import Port
from .components import CELL_PX

__all__ = ["drawn", "shape_at"]

_NAMED = re.compile(r"([a-z_]+)(?:([*/])(\d+))?")
_STEPS = 1000  # timesteps of every Stable Diffusion
_LATENTS = 5.5  # deviation of what a VAE decodes: 1 / 0.18215
_RESIDUALS = 0.1  # deviation of what a ControlNet adds, about


def shape_at(port: Port, axes: Mapping[str, int]) -> tuple[int, ...]:
    """Give a port's shape where the named axes have these lengths; raises KeyError for one that is not told."""
    return tuple(_length(word, axes) if isinstance(word, str) else word for word in port.shape)


def _length(word: str, axes: Mapping[str, int]) -> int:
    found = _NAMED.fullmatch(word)
    if found is None:
        raise ValueError(f"'{word}' is no axis")
    name, sign, factor = found.groups()
    if sign == "*":
        return axes[name] * int(factor)
    return -(-axes[name] // int(factor)) if sign == "/" else axes[name]


def drawn(
    ports: Iterable[Port], axes: Mapping[str, int], settings: Any, seed: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Draw inputs by name for these lengths of the axes, on the CPU whatever `device` they are moved to."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for port in ports:
        shape = shape_at(port, axes)
        found[port.name] = _value(port, shape, axes, settings, generator).to(device)
    return found


def _value(
    port: Port, shape: tuple[int, ...], axes: Mapping[str, int], settings: Any, generator: torch.Generator
) -> torch.Tensor:
    dtype: torch.dtype = getattr(torch, port.dtype)
    if port.name == "input_ids":
        return _ids(shape, settings, generator)
    if port.name == "timestep":
        return torch.randint(0, _STEPS, shape, generator=generator).to(dtype)
    if port.name == "time_ids":
        side_px = [axes["height"] * CELL_PX, axes["width"] * CELL_PX]
        told = [*side_px, 0, 0, *side_px][: shape[1]]
        return torch.tensor([told] * shape[0]).to(dtype)
    if port.name in {"image", "controlnet_cond"}:
        levels = torch.rand(shape, generator=generator)
        return (levels if port.name == "controlnet_cond" else 2 * levels - 1).to(dtype)
    spread = {"latents": _LATENTS}.get(port.name, _RESIDUALS if "block" in port.name else 1.0)
    return (spread * torch.randn(shape, generator=generator)).to(dtype)


def _ids(shape: tuple[int, ...], settings: Any, generator: torch.Generator) -> torch.Tensor:
    """Draw words between a beginning and ends, the highest number of CLIP's vocabulary."""
    end = settings.vocab_size - 1
    ids = torch.randint(0, max(1, end - 1), shape, generator=generator)
    ids[:, 0] = end - 1
    ids[:, shape[1] // 2 :] = end
    return ids
