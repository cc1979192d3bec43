"""What can be done about a full device while one step is done; all of it is undone when the step ends.

Pictures stay the same: all noise is drawn on the CPU for all samples at once, whatever is computed together.
Only a VAE's tiles, which see less of their surroundings, change a few levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import torch

from ..contracts.protocols import LoadedModel

__all__ = ["TILE_PX", "Relief", "Rung", "row_by_row", "small_tiles"]

TILE_PX = 256
_CELL_PX = 8


class Rung(StrEnum):
    """The steps of the ladder, in the order in which they are climbed; each keeps what is below it."""

    TILES = "tiles"
    ROWS = "rows"
    OFFLOAD = "offload"


class Relief:
    """Eases the networks that a step is given, each once, until it is left."""

    def __init__(self, rungs: frozenset[Rung] = frozenset()) -> None:
        self._rungs = rungs
        self._eased: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._eased.clear()
        self._stack.close()

    def ease(self, model: LoadedModel) -> LoadedModel:
        """Give the model with its networks changed as the rungs say; calling again changes nothing."""
        if Rung.TILES in self._rungs and model.vae is not None and self._is_new(model.vae):
            self._stack.enter_context(small_tiles(model.vae))
        if Rung.ROWS in self._rungs and self._is_new(model.unet):
            self._stack.enter_context(row_by_row(model.unet))
        return model

    def _is_new(self, network: Any) -> bool:
        if any(eased is network for eased in self._eased):
            return False
        self._eased.append(network)
        return True


@contextmanager
def small_tiles(vae: Any, size_px: int = TILE_PX) -> Iterator[None]:
    """Let a VAE (diffusers' AutoencoderKL) work on one picture at a time, in overlapping tiles of `size_px`."""
    names = ("use_slicing", "use_tiling", "tile_sample_min_size", "tile_latent_min_size")
    before = {name: getattr(vae, name) for name in names}
    vae.use_slicing = vae.use_tiling = True
    vae.tile_sample_min_size, vae.tile_latent_min_size = size_px, size_px // _CELL_PX
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


@contextmanager
def row_by_row(network: Any) -> Iterator[None]:
    """Let a UNet or a ControlNet take the rows of a batch one after the other, guidance's two halves too."""
    whole: Callable[..., Any] = network.forward
    is_hooked = "forward" in vars(network)

    def forward(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows = len(sample)
        if rows == 1:
            return whole(sample, *args, **kwargs)
        return _joined([
            whole(sample[i : i + 1], *_row(args, i, rows), **_row(kwargs, i, rows)) for i in range(rows)
        ])  # fmt: skip

    network.forward = forward
    try:
        yield
    finally:
        if is_hooked:
            network.forward = whole
        else:
            del network.forward


def _row(value: Any, index: int, rows: int) -> Any:
    """Give one row of every tensor in a nest of tuples, lists and dicts that has `rows` of them."""
    if isinstance(value, torch.Tensor):
        return value[index : index + 1] if value.ndim and len(value) == rows else value
    if isinstance(value, dict):
        return {key: _row(item, index, rows) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_row(item, index, rows) for item in value)
    return value


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(parts)
    return type(parts[0])(_joined(list(items)) for items in zip(*parts, strict=True))
