"""Several prompts on one canvas, denoised together: each region's prediction counts where the region lies.

Region-based MultiDiffusion (Bar-Tal et al. 2023, https://arxiv.org/abs/2302.08113): at each timestep
every region is predicted by its own prompt, what no region covers by the prompt of the whole; the
predictions are averaged by weight, and the scheduler steps once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch

from ..contracts.plan import Chunking
from ..geometry import Window, area_of, feather, over_regions
from .components import CELL_PX
from .conditioning import Conditions
from .control import Controls
from .latents import Mosaic, batches, in_calls, mosaic_of
from .seamless import Axes

__all__ = ["Mixed", "Region", "Regions", "lay_regions"]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of latent cells with what guides it there, its windows, and how much each cell counts.

    That may be 0 about the region itself.
    """

    area: Window
    told: Conditions
    mosaic: Mosaic  # over the area by itself
    weight: torch.Tensor  # (h, w) of the area

    @property
    def cells(self) -> tuple[Any, ...]:
        """Give the indices of the area in whatever ends in (h/8, w/8)."""
        top, left = self.area.top, self.area.left
        return ..., slice(top, top + self.area.height), slice(left, left + self.area.width)


@dataclass(frozen=True, slots=True)
class Mixed:
    """What guides a batch of windows of several regions; each window has `samples` rows.

    Regions that lie in one window share what is avoided there, if that is the same: it is predicted
    once. `apart` are the rows that it is predicted for, and `of_row` says which of those is a row's.
    """

    told: tuple[Conditions, ...]
    samples: int
    arguments: dict[str, Any]  # the UNet's: rows apart by what is avoided, then all by what is drawn
    apart: torch.Tensor  # (rows predicted for what is avoided,)
    of_row: torch.Tensor  # (rows,)
    controls: Controls | None = None

    @classmethod
    def of(cls, told: Sequence[Conditions], places: Sequence[object], samples: int) -> Mixed:
        """Lay out the UNet's arguments once, so that the UNet hears the same tensors at every step.

        Rows of windows whose `places` are equal see the same latents.
        """
        each = [one.repeated(samples) for one in told]
        if not told[0].guided:
            arguments, none = _joined([each]), torch.zeros(0, dtype=torch.long)
            return cls(tuple(told), samples, arguments, none, none)
        negative, positive = ([_half(one, half) for one in each] for half in (0, 1))
        apart: list[int] = []
        of: list[int] = []
        for index, (place, avoided) in enumerate(zip(places, negative, strict=True)):
            same = (
                k for k, own in enumerate(apart) if places[own] == place and _equal(negative[own], avoided)
            )
            of.append(next(same, len(apart)))
            if of[-1] == len(apart):
                apart.append(index)
        arguments = _joined([[negative[own] for own in apart], positive])
        home = told[0].tokens.device
        return cls(tuple(told), samples, arguments, _rows(apart, samples, home), _rows(of, samples, home))

    @property
    def guided(self) -> bool:
        """Say whether there is a negative half; all have one, or none has."""
        return self.told[0].guided

    @property
    def tokens(self) -> torch.Tensor:
        """Give the tokens of one of them, for their type."""
        return self.told[0].tokens

    @property
    def guidance(self) -> torch.Tensor:
        """Give each row's, (rows, 1, 1, 1)."""
        each = torch.tensor([told.guidance for told in self.told], device=self.tokens.device)
        return each.repeat_interleave(self.samples).view(-1, 1, 1, 1)

    def repeated(self, rows: int) -> dict[str, Any]:
        """Give the UNet's arguments: negative rows first, then all positive."""
        assert rows == len(self.told) * self.samples  # noqa: S101 - the batch that this was made for
        return dict(self.arguments)


def _half(arguments: dict[str, Any], half: int) -> dict[str, Any]:
    return {
        name: _half(value, half) if isinstance(value, dict) else value.chunk(2)[half]
        for name, value in arguments.items()
    }


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        _equal(value, other[name]) if isinstance(value, dict) else torch.equal(value, other[name])
        for name, value in one.items()
    )


def _joined(groups: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Join the rows of several arguments, group by group."""
    flat = [one for group in groups for one in group]
    return {
        name: _joined([[one[name] for one in flat]])
        if isinstance(value, dict)
        else torch.cat([one[name] for one in flat])
        for name, value in flat[0].items()
    }


def _rows(windows: list[int], samples: int, home: torch.device) -> torch.Tensor:
    """Give the rows of windows that have `samples` each."""
    first = torch.tensor(windows, device=home).repeat_interleave(samples) * samples
    return first + torch.arange(samples, device=home).repeat(len(windows))


class Predict(Protocol):
    """Predicts rows of one window's size, guided by what is told; on `rounds`, convolutions wrap."""

    def __call__(self, rows: torch.Tensor, *, told: Conditions | Mixed, rounds: Axes) -> torch.Tensor:
        """Give rows of four channels."""


@dataclass(frozen=True, slots=True)
class Regions:
    """What a `Mosaic` is to one prompt: regions over a canvas, the last of them what no other covers.

    `total`, (h/8, w/8), is the sum of their weights, above 0 everywhere.
    """

    regions: tuple[Region, ...]
    total: torch.Tensor
    tile: Axes
    beside: torch.Tensor | None = None  # channels that windows cut along with the latents
    told: dict[object, Conditions | Mixed] = field(default_factory=dict)  # by number of samples and batch

    @property
    def windows(self) -> tuple[Window, ...]:
        """Give the windows of all regions, each in cells of its region's area."""
        return tuple(window for region in self.regions for window in region.mosaic.windows)

    @property
    def rounds(self) -> Axes:
        """Say that no window goes round the canvas, unless its region says so."""
        return False, False

    def blend(self, latents: torch.Tensor, predict: Predict) -> torch.Tensor:
        """Predict every window of every region, as many at once as go into one call, and blend.

        `latents` is (samples, 4, h/8, w/8).
        """
        seen = latents if self.beside is None else torch.cat([latents, self.beside], dim=1)
        taken = [seen[region.cells] for region in self.regions]
        parts = [torch.zeros_like(latents[region.cells]) for region in self.regions]
        for batch in self._batches(latents):
            rows = torch.cat(
                [taken[index][self.regions[index].mosaic.cells(window)] for index, window in batch]
            )
            told = self._told(batch, len(latents))
            rounds = self.regions[batch[0][0]].mosaic.rounds
            predicted = in_calls(rows, partial(predict, told=told, rounds=rounds))
            for (index, window), own in zip(batch, predicted.chunk(len(batch)), strict=True):
                self.regions[index].mosaic.add(parts[index], window, own)
        blended = torch.zeros_like(latents)
        for region, part in zip(self.regions, parts, strict=True):
            blended[region.cells] += region.mosaic.mean(part) * region.weight
        return blended / self.total

    def _batches(self, latents: torch.Tensor) -> Iterator[Sequence[tuple[int, Window]]]:
        """Give windows, with the index of their region, that can go through the UNet at once."""
        alike: dict[tuple[object, ...], list[tuple[int, Window]]] = {}
        for index, region in enumerate(self.regions):
            kind = region.told.tokens.shape, region.mosaic.rounds
            for window in region.mosaic.windows:
                alike.setdefault((window.height, window.width, *kind), []).append((index, window))
        for some in alike.values():
            window = some[0][1]
            yield from batches(some, latents, window.height * window.width)

    def _told(self, batch: Sequence[tuple[int, Window]], samples: int) -> Conditions | Mixed:
        key = samples, tuple(batch)
        if key not in self.told:
            each = [self.regions[index].told for index, _ in batch]
            alone = all(told is each[0] for told in each)
            self.told[key] = (
                each[0] if alone else Mixed.of(each, [self._place(*one) for one in batch], samples)
            )
        return self.told[key]

    def _place(self, index: int, window: Window) -> tuple[int, ...]:
        """Say where on the canvas a window of a region lies; those at one place see the same."""
        area = self.regions[index].area
        down, across = self.total.shape
        return (area.top + window.top) % down, (area.left + window.left) % across


def lay_regions(
    size_px: tuple[int, int],
    boxes: Sequence[Window],
    told: Sequence[Conditions],
    chunking: Chunking,
    device: torch.device | str = "cpu",
) -> Regions:
    """Lay regions over a canvas of `size_px` (height, width), feathered where they do not end with it.

    `told` guides each of `boxes`, which are in latent cells, and as the last one what no box covers.
    A box that is smaller than a window is predicted with what is around it.
    """
    canvas = size_px[0] // CELL_PX, size_px[1] // CELL_PX
    size, stride, blur = (px // CELL_PX for px in (chunking.size_px, chunking.stride_px, chunking.blur_px))
    tile = chunking.tile
    laid = over_regions(canvas, boxes, size, stride, tile)
    regions = []
    total = torch.zeros(canvas, device=device)
    for own, windows, guides in zip(boxes, laid[:-1], told[:-1], strict=True):
        area = area_of(own, canvas, size)
        mosaic = mosaic_of(windows, (area.height, area.width), blur, _spanned(area, canvas, tile), device)
        counts = _weight(own, canvas, blur, tile)
        weight = torch.zeros(area.height, area.width)
        top, left = own.top - area.top, own.left - area.left
        weight[top : top + own.height, left : left + own.width] = counts
        region = Region(area, guides, mosaic, weight.to(device))
        total[region.cells] += region.weight
        regions.append(region)
    if laid[-1]:
        whole = Window(0, 0, *canvas)
        mosaic = mosaic_of(laid[-1], canvas, blur, tile, device)
        uncounted = (1 - total).clamp(min=0) * _seen(mosaic, canvas, device)
        regions.append(Region(whole, told[-1], mosaic, uncounted))
        total = total + uncounted
    return Regions(regions=tuple(regions), total=total, tile=tile)


def _spanned(area: Window, canvas: tuple[int, int], tile: Axes) -> Axes:
    return tile[0] and area.width == canvas[1], tile[1] and area.height == canvas[0]


def _weight(area: Window, canvas: tuple[int, int], blur: int, tile: Axes) -> torch.Tensor:
    """Weigh a region's cells; at least its middle half counts in full."""
    down = feather(area.top, area.height, canvas[0], min(blur, area.height // 4), wraps=tile[1])
    across = feather(area.left, area.width, canvas[1], min(blur, area.width // 4), wraps=tile[0])
    return torch.tensor(down)[:, None] * torch.tensor(across)


def _seen(mosaic: Mosaic, canvas: tuple[int, int], device: torch.device | str) -> torch.Tensor:
    """Give 1 where any window lies, else 0."""
    seen = torch.zeros(canvas, device=device)
    for window in mosaic.windows:
        seen[mosaic.cells(window)] = 1
    return seen
