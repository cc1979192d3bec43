"""Pictures that go on at their other end: convolutions that look there, and pictures wrapped round themselves.

A convolution sees zeros beyond a border. One that sees the far end instead draws what can be laid end
to end without a seam; attention and normalisation know no borders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.nn import functional

__all__ = ["Axes", "resized", "seamless", "wrapped", "wrapped_cells"]

Axes = tuple[bool, bool]  # (x, y)


@contextmanager
def seamless(networks: Iterable[nn.Module], tile: Axes) -> Iterator[None]:
    """Let every convolution of `networks` see the far end beyond a border, on the axes (x, y) of `tile`.

    Weights are not touched, and the modules are those of before when the context ends.
    """
    with ExitStack() as stack:
        if any(tile):
            for network in networks:
                for module in network.modules():
                    _turn(module, tile, stack)
        yield


def _turn(module: nn.Module, tile: Axes, stack: ExitStack) -> None:
    if isinstance(module, nn.Conv2d) and any(_padding(module)):
        # what forward() calls with weight and bias; an attribute of the instance comes before the class's
        module._conv_forward = _wrapping(module, tile)  # type: ignore[method-assign]  # noqa: SLF001 - undone below
        stack.callback(delattr, module, "_conv_forward")
    inner = getattr(module, "conv", None)
    if isinstance(inner, nn.Conv2d) and getattr(module, "padding", None) == 0 and not any(_padding(inner)):
        # diffusers' Downsample2D of encoders pads zeros right and below before its convolution
        handle = inner.register_forward_pre_hook(_replaced(tile))
        stack.callback(handle.remove)


def _padding(convolution: nn.Conv2d) -> tuple[int, int]:
    """Give (down, across), as torch has them; words count as none, and no network of ours uses them."""
    if isinstance(convolution.padding, str):
        return 0, 0
    down, across = convolution.padding
    return down, across


def _wrapping(convolution: nn.Conv2d, tile: Axes) -> Callable[..., torch.Tensor]:
    down, across = _padding(convolution)

    def forward(taken: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        around = wrapped_cells(taken, (across, down), tile)
        left = (0 if tile[1] else down, 0 if tile[0] else across)  # what the convolution pads itself
        return functional.conv2d(
            around, weight, bias, convolution.stride, left, convolution.dilation, convolution.groups
        )

    return forward


def _replaced(tile: Axes) -> Callable[[nn.Module, tuple[Any, ...]], tuple[torch.Tensor]]:
    def replace(_module: nn.Module, taken: tuple[Any, ...]) -> tuple[torch.Tensor]:
        padded = taken[0].clone()
        if tile[1]:
            padded[..., -1, :] = padded[..., 0, :]
        if tile[0]:
            padded[..., :, -1] = padded[..., :, 0]
        return (padded,)

    return replace


def wrapped_cells(taken: torch.Tensor, margin: tuple[int, int], tile: Axes) -> torch.Tensor:
    """Lay `margin` (x, y) cells of the far end beyond each border, on the axes of `tile`: (..., h + 2y, w + 2x)."""
    across, down = (length if wraps else 0 for length, wraps in zip(margin, tile, strict=True))
    if not across and not down:
        return taken
    return functional.pad(taken, (across, across, down, down), mode="circular")


def wrapped(image: Image.Image, margin_px: tuple[int, int]) -> Image.Image:
    """Lay `margin_px` (x, y) pixels of the far end beyond each border of a picture, at most its own size."""
    across, down = margin_px
    around = Image.new(image.mode, (image.width + 2 * across, image.height + 2 * down))
    for top in (down - image.height, down, down + image.height):
        for left in (across - image.width, across, across + image.width):
            around.paste(image, (left, top))
    return around


def resized(image: Image.Image, size: tuple[int, int], tile: Axes) -> Image.Image:
    """Resize to `size` (width, height) by Lanczos, which looks at the far end on the axes of `tile`."""
    if image.size == size:
        return image
    if not any(tile):
        return image.resize(size, Image.Resampling.LANCZOS)
    margin = image.width if tile[0] else 0, image.height if tile[1] else 0
    box = margin[0], margin[1], margin[0] + image.width, margin[1] + image.height
    return wrapped(image, margin).resize(size, Image.Resampling.LANCZOS, box=box)
