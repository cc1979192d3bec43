"""Convolutions over few pixels as matrix products, which read weights as they lie in memory.

oneDNN lays the weights of a convolution out anew at every call. Over many pixels that is lost beside the
arithmetic; over few, as deep in a UNet, it is most of the work. See docs/explanation/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

__all__ = ["FEW_ROWS", "Convolution", "laid_out", "read_in_place"]

# Up to so many pixels of the result, counted over the batch. Measured with channels last on one core of a
# Xeon with AVX-512: a product takes 0.2 to 1.0 times as long as oneDNN up to here, and mostly more above.
FEW_ROWS = 128
_SIZES = 32  # of pictures whose borders are kept, each of at most some hundred pixels


class Convolution(nn.Conv2d):
    """A plain convolution that is one matrix product while few pixels come out of it.

    The sums are the same and are added up in another order. Compilers and exporters see a convolution.
    """

    borders: _Borders  # shared by all layers of a network

    def _conv_forward(
        self,
        input: torch.Tensor,  # noqa: A002 - torch's own name; (batch, in, h, w)
        weight: torch.Tensor,  # (out, in, kernel, kernel)
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        laid = None if torch.compiler.is_compiling() else self.borders.laid(self, input, weight)
        if laid is None:
            summed: torch.Tensor = super()._conv_forward(input, weight, bias)
            return summed
        rows = _patches(input.permute(0, 2, 3, 1), laid.how, self.borders)
        summed = functional.linear(rows, laid.taps, bias)
        return summed.permute(0, 3, 1, 2)


@contextmanager
def laid_out(network: nn.Module) -> Iterator[None]:
    """Let the convolutions of `network` keep how weights are laid out, as long as these lie where they are."""
    borders = next((one.borders for one in network.modules() if isinstance(one, Convolution)), None)
    if borders is None or borders.remembers:
        yield
        return
    borders.remembers = True
    try:
        yield
    finally:
        borders.forget()


def read_in_place(network: nn.Module) -> None:
    """Make every plain convolution of `network` a `Convolution`; weights and names stay."""
    borders = _Borders()
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        ):
            module.__class__ = Convolution
            module.borders = borders  # type: ignore[assignment]  # mypy takes every attribute for a module


class _Reading(NamedTuple):
    """How pixels of one size are read: what comes out, a `stride` apart, of how many `taps`, both (down, across).

    A picture of one pixel is seen by the middle tap alone, and the weights of the others need not be read.
    """

    high: int
    wide: int
    stride: tuple[int, ...]
    taps: tuple[int, ...]
    seen: tuple[slice, ...] | None  # which taps of (out, down, across, in); None for all
    around: tuple[int, ...]  # zeros, as `pad` takes them for (batch, h, w, channels); empty for none

    @property
    def plain(self) -> bool:
        """Say whether every pixel that comes out is made of the one that is there."""
        return self.taps == (1, 1) and self.stride == (1, 1) and not self.around


class _Laid(NamedTuple):
    """A weight as a matrix for pictures of one size; a view of it, where it lies channels last."""

    how: _Reading
    taps: torch.Tensor  # (out, taps * in)
    weight: torch.Tensor  # which no other one can be taken for while it lives


def _shares(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two tensors lie in the same memory."""
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _how(convolution: nn.Conv2d, taken: torch.Tensor) -> _Reading:
    height, width = taken.shape[-2:]
    # no `Convolution` says its padding in words
    padding: Any = convolution.padding
    return _reading(height, width, convolution.kernel_size, convolution.stride, padding)


@lru_cache(maxsize=512)
def _reading(
    height: int, width: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> _Reading:
    high, (top, bottom), above = _axis(height, kernel[0], stride[0], padding[0])
    wide, (left, right), beside = _axis(width, kernel[1], stride[1], padding[1])
    if bottom - top > 1 and right - left < kernel[1]:  # a part of several lines is no view
        left, right = 0, kernel[1]
        beside = padding[1], max(0, (wide - 1) * stride[1] + kernel[1] - padding[1] - width)
    taps = bottom - top, right - left
    around = (0, 0, *beside, *above)
    return _Reading(
        high=high,
        wide=wide,
        stride=stride,
        taps=taps,
        seen=None if taps == kernel else (slice(None), slice(top, bottom), slice(left, right)),
        around=around if any(around) else (),
    )


def _axis(
    length: int, kernel: int, stride: int, padding: int
) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Give how many pixels come out, from where to where taps see any, and the zeros that those see."""
    size = max(0, (length + 2 * padding - kernel) // stride + 1)
    last = (size - 1) * stride  # where the last pixel's first tap lies, counted from the padding's beginning
    first = min(max(0, padding - last), kernel - 1)
    end = max(min(kernel, length + padding), first + 1)
    return size, (first, end), (padding - first, max(0, last + end - padding - length))


def _patches(pixels: torch.Tensor, how: _Reading, borders: _Borders) -> torch.Tensor:
    """Give, for every pixel that comes out, all that it is made of: (batch, high, wide, taps * in)."""
    if how.plain:
        return pixels
    seen = borders.seen(pixels, how) if how.around and not pixels.requires_grad else _seen(pixels, how)
    return seen.reshape(len(pixels), how.high, how.wide, -1)


def _seen(pixels: torch.Tensor, how: _Reading) -> torch.Tensor:
    """View what each tap sees: (batch, high, wide, taps down, taps across, in)."""
    if how.around:
        pixels = functional.pad(pixels, how.around)
    return _view(pixels, how)


def _view(padded: torch.Tensor, how: _Reading) -> torch.Tensor:
    each, line, column, channel = padded.stride()
    return padded.as_strided(
        (padded.shape[0], how.high, how.wide, *how.taps, padded.shape[-1]),
        (each, line * how.stride[0], column * how.stride[1], line, column, channel),
    )


class _Borders:
    """Zeros about pictures of the sizes that were seen last, into which pixels are laid; used by one thread.

    To lay them takes a quarter of the time of padding them anew.
    """

    def __init__(self) -> None:
        self._kept: dict[object, tuple[torch.Tensor, torch.Tensor]] = {}  # the inside, and what taps see
        self._laid: dict[object, _Laid] = {}
        self.remembers = False

    def __deepcopy__(self, _memo: object) -> _Borders:
        return _Borders()

    def forget(self) -> None:
        """Let go of weights."""
        self.remembers = False
        self._laid.clear()

    def laid(self, layer: nn.Conv2d, taken: torch.Tensor, weight: torch.Tensor) -> _Laid | None:
        """Lay a weight out for what is taken; None where oneDNN is better at it."""
        # an adapter may be merged meanwhile: in place, which a view shows, or in memory of its own
        key = id(weight), weight.data_ptr(), taken.shape
        if key in self._laid:
            return self._laid[key]
        how, made = _how(layer, taken), None
        if 0 < len(taken) * how.high * how.wide <= FEW_ROWS and taken.device.type == "cpu":
            # with channels last this is a view, and so are all others of it
            taps = weight.permute(0, 2, 3, 1)
            seen = taps if how.seen is None else taps[how.seen]
            made = _Laid(how, seen.reshape(len(weight), -1), weight)
        # a copy would double the weights
        if self.remembers and made is not None and _shares(made.taps, weight):
            self._laid[key] = made
        return made

    def seen(self, pixels: torch.Tensor, how: _Reading) -> torch.Tensor:
        """Lay pixels into their border and view what each tap sees, until the next ones are laid there."""
        key = pixels.shape, how.around, how.taps, how.stride, pixels.dtype
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _SIZES:
                self._kept.clear()
            kept = self._kept[key] = self._made(pixels, how)
        kept[0].copy_(pixels)
        return kept[1]

    @staticmethod
    def _made(pixels: torch.Tensor, how: _Reading) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode(mode=False):  # what is made in that mode can be written in no other
            batch, height, width, channels = pixels.shape
            left, right, top, bottom = how.around[2:]
            padded = torch.zeros(
                batch, top + height + bottom, left + width + right, channels, dtype=pixels.dtype
            )
            return padded[:, top : top + height, left : left + width], _view(padded, how)
