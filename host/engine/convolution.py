"""Convolutions over few pixels as matrix products, which read weights as they lie in memory.

oneDNN lays the weights of a convolution out anew at every call. Over many pixels that is lost beside the
arithmetic; over few, as deep in a UNet, it is most of the work. See docs/explanation/performance.md.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["FEW_ROWS", "Convolution", "read_in_place"]

# Up to so many pixels of the result, counted over the batch. Measured with channels last on one core of a
# Xeon with AVX-512: a product takes 0.2 to 1.0 times as long as oneDNN up to here, and mostly more above.
FEW_ROWS = 128


class Convolution(nn.Conv2d):
    """A plain convolution that is one matrix product while few pixels come out of it.

    The sums are the same and are added up in another order. Compilers and exporters see a convolution.
    """

    def _conv_forward(
        self,
        input: torch.Tensor,  # noqa: A002 - torch's own name; (batch, in, h, w)
        weight: torch.Tensor,  # (out, in, kernel, kernel)
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        size = None if torch.compiler.is_compiling() else _size(self, input)
        if size is None or len(input) * size[0] * size[1] > FEW_ROWS or input.device.type != "cpu":
            summed: torch.Tensor = super()._conv_forward(input, weight, bias)
            return summed
        rows = _patches(self, input, size)  # (batch, high, wide, kernel * kernel * in)
        # with channels last this is a view
        matrix = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
        summed = functional.linear(rows, matrix, bias)
        return summed.permute(0, 3, 1, 2)


def read_in_place(network: nn.Module) -> None:
    """Make every plain convolution of `network` a `Convolution`; weights and names stay."""
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        ):
            module.__class__ = Convolution


def _size(convolution: nn.Conv2d, taken: torch.Tensor) -> tuple[int, int]:
    """Give height and width of what comes out."""
    around, kernel, stride = _padding(convolution), convolution.kernel_size, convolution.stride
    height, width = taken.shape[-2:]
    high = (height + 2 * around[0] - kernel[0]) // stride[0] + 1
    wide = (width + 2 * around[1] - kernel[1]) // stride[1] + 1
    return high, wide


def _padding(convolution: nn.Conv2d) -> tuple[int, int]:
    """Give (down, across); no `Convolution` says its padding in words."""
    return int(convolution.padding[0]), int(convolution.padding[1])


def _patches(convolution: nn.Conv2d, taken: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Give, for every pixel that comes out, all that it is made of: (batch, high, wide, kernel * kernel * in)."""
    pixels = taken.permute(0, 2, 3, 1)
    kernel, stride = convolution.kernel_size, convolution.stride
    down, across = _padding(convolution)
    if (*kernel, *stride, down, across) == (1, 1, 1, 1, 0, 0):
        return pixels
    if down or across:
        pixels = functional.pad(pixels, (0, 0, across, across, down, down))
    each, line, column, channel = pixels.stride()
    batch, channels = pixels.shape[0], pixels.shape[-1]
    seen = pixels.as_strided(
        (batch, *size, *kernel, channels), (each, line * stride[0], column * stride[1], line, column, channel)
    )
    return seen.reshape(batch, *size, -1)
