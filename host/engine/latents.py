"""Latents: noise, pictures into latents and back, and windows that overlap and blend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from ..contracts.plan import Chunking
from ..geometry import Window, feather, windows
from .components import CELL_PX, home_of
from .seamless import Axes, seamless, wrapped_cells

__all__ = ["Mosaic", "batches", "decode", "encode", "in_calls", "lay_windows", "mosaic_of", "noise", "offset"]

# Above this many pixels the VAE works in tiles; below, pictures of a batch are decoded together up
# to it. A picture of 1024 x 1024 takes about 2.5 GB in float32.
_VAE_LIMIT_PX = {"cpu": 1024 * 1024, "mps": 1024 * 1024, "cuda": 2048 * 2048}
_TILE_PX = 512
_UNTILED: Axes = (False, False)
# What a VAE's tiles see of the far end of a seamless picture; their overlap is as much.
_MARGIN_CELLS = 16
# How many latent cells one UNet call takes at most, before guidance doubles them.
_CALL_LIMIT_CELLS = {"cpu": 16 * 64 * 64, "mps": 8 * 64 * 64, "cuda": 64 * 64 * 64}


def noise(samples: int, channels: int, size_px: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Draw (samples, channels, h/8, w/8) in float32 on the CPU, so that no device changes a picture."""
    height, width = (side // CELL_PX for side in size_px)
    return torch.randn((samples, channels, height, width), generator=generator, dtype=torch.float32)


def offset(noise: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Shift each channel of each picture's noise by `amount` times a number drawn after the noise.

    So pictures may be brighter or darker over all, which noise without it hardly lets them be
    (Guttenberg 2023, https://www.crosslabs.org/blog/diffusion-with-offset-noise). 0 draws nothing.
    """
    if not amount:
        return noise
    return noise + amount * torch.randn((*noise.shape[:2], 1, 1), generator=generator, dtype=torch.float32)


@torch.inference_mode()
def encode(vae: Any, pixels: torch.Tensor, generator: torch.Generator, tile: Axes = _UNTILED) -> torch.Tensor:
    """Encode pixels in [-1, 1], (batch, 3, h, w), and draw from the posterior: float32, on the CPU.

    On the axes (x, y) of `tile` the picture goes on at its other end.
    """
    weight = next(vae.parameters())
    height, width = pixels.shape[-2:]
    pixels = pixels.to(home_of(vae), weight.dtype)
    with _tiles(vae, (height, width)), _wrapping(vae, (height // CELL_PX, width // CELL_PX), tile) as margin:
        around = wrapped_cells(pixels, (margin[0] * CELL_PX, margin[1] * CELL_PX), tile)
        posterior = vae.encode(around).latent_dist
    mean, deviation = (_middle(moment, margin).float().cpu() for moment in (posterior.mean, posterior.std))
    drawn = mean + deviation * torch.randn(mean.shape, generator=generator, dtype=torch.float32)
    centre, spread = _statistics(vae)
    latents: torch.Tensor = (drawn - centre) / spread
    return latents


@torch.inference_mode()
def decode(vae: Any, latents: torch.Tensor, tile: Axes = _UNTILED) -> torch.Tensor:
    """Decode latents, (batch, 4, h/8, w/8), to pixels around [-1, 1], (batch, 3, h, w).

    On the axes (x, y) of `tile` the picture goes on at its other end.
    """
    weight = next(vae.parameters())
    centre, spread = _statistics(vae)
    home = home_of(vae)
    scaled = (latents * spread.to(latents.device) + centre.to(latents.device)).to(home, weight.dtype)
    height, width = (side * CELL_PX for side in latents.shape[-2:])
    together = max(1, _VAE_LIMIT_PX[home.type] // (height * width))
    cells = latents.shape[-2], latents.shape[-1]
    with _tiles(vae, (height, width)), _wrapping(vae, cells, tile) as margin:
        scaled = wrapped_cells(scaled, margin, tile)
        parts = [scaled[start : start + together] for start in range(0, len(scaled), together)]
        pixels = torch.cat([vae.decode(part, return_dict=False)[0] for part in parts])
    return _middle(pixels, (margin[0] * CELL_PX, margin[1] * CELL_PX))


@contextmanager
def _wrapping(vae: Any, cells: tuple[int, int], tile: Axes) -> Iterator[tuple[int, int]]:
    """Let the VAE go on at the other end: give how many cells (x, y) it must be shown of it.

    None where it sees the picture whole. Its tiles end inside of the picture, so there its
    convolutions stay as they are. `cells` is (height, width).
    """
    if vae.use_tiling and any(tile):
        sides = min(_MARGIN_CELLS, cells[1]), min(_MARGIN_CELLS, cells[0])
        yield sides[0] * tile[0], sides[1] * tile[1]
        return
    with seamless((vae,), tile):
        yield 0, 0


def _middle(taken: torch.Tensor, margin: tuple[int, int]) -> torch.Tensor:
    """Cut `margin` (x, y) off on each side."""
    height, width = taken.shape[-2:]
    return taken[..., margin[1] : height - margin[1], margin[0] : width - margin[0]]


def _statistics(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Give mean and deviation of the VAE's raw latents, by which diffusion sees them whitened."""
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    scale = vae.config.scaling_factor
    if mean is None or deviation is None:
        return torch.zeros(()), torch.tensor(1.0 / scale)
    return torch.tensor(mean).view(1, -1, 1, 1), torch.tensor(deviation).view(1, -1, 1, 1) / scale


@contextmanager
def _tiles(vae: Any, size_px: tuple[int, int]) -> Iterator[None]:
    """Let the VAE work in overlapping tiles while the picture is large: memory no longer grows with it."""
    # tiles that are on already are smaller: the device was full
    if vae.use_tiling or size_px[0] * size_px[1] <= _VAE_LIMIT_PX[home_of(vae).type]:
        yield
        return
    before = vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size
    vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = True, _TILE_PX, _TILE_PX // CELL_PX
    try:
        yield
    finally:
        vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = before


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Windows over a canvas and how much each cell of each counts, its `down` times its `across`.

    Weights are above 0 and `total` is their sum over the canvas (h/8, w/8). One window needs none.
    On the axes (x, y) of `tile` the canvas goes on at its other end, and windows may reach over it.
    """

    windows: tuple[Window, ...]
    down: dict[int, torch.Tensor]  # by the window's top: (height, 1)
    across: dict[int, torch.Tensor]  # by the window's left: (width,)
    total: torch.Tensor | None
    beside: torch.Tensor | None = (
        None  # channels that windows cut along with the latents, (samples, n, h/8, w/8)
    )
    tile: Axes = _UNTILED

    @property
    def rounds(self) -> Axes:
        """Say on which axes (x, y) of `tile` a window goes once round the canvas, back to its own beginning."""
        if self.total is None:
            return self.tile
        height, width = self.total.shape
        window = self.windows[0]
        return self.tile[0] and window.width == width, self.tile[1] and window.height == height

    def blend(self, latents: torch.Tensor, predict: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Predict on every window, as many at once as go into one call, and blend.

        `latents` is (samples, 4, h/8, w/8); `predict` gets rows of one window's size, with the
        channels `beside`, and gives rows of four.
        """
        taken = latents if self.beside is None else torch.cat([latents, self.beside], dim=1)
        if self.total is None:
            return in_calls(taken, predict)
        blended = torch.zeros_like(latents)
        for some in batches(self.windows, latents, self.windows[0].height * self.windows[0].width):
            rows = torch.cat([taken[self.cells(window)] for window in some])  # a window's samples together
            for window, tile in zip(some, in_calls(rows, predict).chunk(len(some)), strict=True):
                self.add(blended, window, tile)
        return self.mean(blended)

    def add(self, blended: torch.Tensor, window: Window, tile: torch.Tensor) -> None:
        """Add what was predicted on a window, as much as its cells count."""
        weighed = tile if self.total is None else tile * self.down[window.top] * self.across[window.left]
        blended[self.cells(window)] += weighed

    def mean(self, blended: torch.Tensor) -> torch.Tensor:
        """Give the mean by weight of all that was added."""
        return blended if self.total is None else blended / self.total

    def cells(self, window: Window) -> tuple[Any, ...]:
        """Give the indices of a window's cells in whatever ends in (h/8, w/8)."""
        if self.total is None:
            return (...,)
        height, width = self.total.shape
        bottom, right = window.top + window.height, window.left + window.width
        if bottom <= height and right <= width:
            return ..., slice(window.top, bottom), slice(window.left, right)
        home = self.total.device
        down = torch.arange(window.top, bottom, device=home) % height
        return ..., down[:, None], torch.arange(window.left, right, device=home) % width


W = TypeVar("W")


def batches(windows: Sequence[W], latents: torch.Tensor, cells: int) -> Iterator[Sequence[W]]:
    """Give as many windows of so many cells as go into one call with all of their samples; one at least."""
    group = max(1, _CALL_LIMIT_CELLS[latents.device.type] // cells // len(latents))
    for start in range(0, len(windows), group):
        yield windows[start : start + group]


def in_calls(rows: torch.Tensor, predict: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Predict rows of one size, in several calls where they are too many cells for one."""
    at_once = max(1, _CALL_LIMIT_CELLS[rows.device.type] // (rows.shape[-2] * rows.shape[-1]))
    if len(rows) <= at_once:
        return predict(rows)
    return torch.cat([predict(rows[start : start + at_once]) for start in range(0, len(rows), at_once)])


def lay_windows(size_px: tuple[int, int], chunking: Chunking, device: torch.device | str = "cpu") -> Mosaic:
    """Lay windows over a canvas of `size_px` (height, width), feathered where they meet."""
    height, width = size_px[0] // CELL_PX, size_px[1] // CELL_PX
    tile = chunking.tile
    laid = windows(height, width, chunking.size_px // CELL_PX, chunking.stride_px // CELL_PX, tile)
    return mosaic_of(laid, (height, width), chunking.blur_px // CELL_PX, tile, device)


def mosaic_of(
    laid: tuple[Window, ...], canvas: tuple[int, int], blur: int, tile: Axes, device: torch.device | str
) -> Mosaic:
    """Weigh windows over a `canvas` (height, width) of latent cells; those that none sees count 0 of 1."""
    height, width = canvas
    if len(laid) == 1 and (laid[0].height, laid[0].width) == canvas:
        return Mosaic(windows=laid, down={}, across={}, total=None, tile=tile)
    down = {w.top: feather(w.top, w.height, height, blur, wraps=tile[1]) for w in laid}
    across = {w.left: feather(w.left, w.width, width, blur, wraps=tile[0]) for w in laid}
    mosaic = Mosaic(
        windows=laid,
        down={top: torch.tensor(weights, device=device)[:, None] for top, weights in down.items()},
        across={left: torch.tensor(weights, device=device) for left, weights in across.items()},
        total=torch.zeros(height, width, device=device),
        tile=tile,
    )
    assert mosaic.total is not None  # noqa: S101 - just made
    for window in laid:
        mosaic.total[mosaic.cells(window)] += mosaic.down[window.top] * mosaic.across[window.left]
    mosaic.total[mosaic.total == 0] = 1
    return mosaic
