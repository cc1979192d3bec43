"""A network of a thousand weights with all that compilers meet: two named sides, a factor, a half, and text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.engines import AxisRange, Component, Port
from ..contracts.models import Precision

if TYPE_CHECKING:
    import torch

__all__ = ["PROFILE", "STATIC", "WIDTH", "ToyNetwork"]

WIDTH = 32
PROFILE = {
    "batch": AxisRange(min=1, opt=2, max=4),
    "height": AxisRange(min=4, opt=8, max=16),
    "width": AxisRange(min=4, opt=8, max=16),
    "tokens": AxisRange.only(77),
}
STATIC = {name: AxisRange.only(span.opt) for name, span in PROFILE.items()}


def _toy() -> torch.nn.Module:
    """Draw the network's weights from torch's own generator."""
    from torch import nn
    from torch.nn import functional

    class Toy(nn.Module):
        """Convolutions with a normalised and attended middle, told the time and a prompt."""

        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Conv2d(4, WIDTH, 3, padding=1)
            self.down = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, stride=2)
            self.norm = nn.GroupNorm(8, WIDTH)
            self.told = nn.Linear(WIDTH, WIDTH)
            self.out = nn.Conv2d(WIDTH, 4, 3, padding=1)

        def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            sample, timestep, prompt, residual = given
            wide = functional.silu(self.norm(self.into(sample)))
            middle = self.down(wide) + residual
            told = self.told(prompt)[:, None]  # of one head
            query = middle.flatten(2).transpose(1, 2)[:, None]
            heard = functional.scaled_dot_product_attention(query, told, told).transpose(2, 3)
            middle = middle + heard.reshape(middle.shape) + (timestep / 1000).to(sample.dtype)
            return (self.out(wide + functional.interpolate(middle, size=wide.shape[2:])),)

    return Toy()


@dataclass
class ToyNetwork:
    """Implements the contracts' `Network`; it is exported once to `folder`."""

    folder: Path
    precision: Precision = Precision.FLOAT32
    component: Component = Component.CONTROLLED_UNET
    seed: int = 0

    def __post_init__(self) -> None:
        import torch

        kind = str(self.precision)
        self.inputs: tuple[Port, ...] = (
            Port(name="sample", dtype=kind, shape=("batch", 4, "height", "width")),
            Port(name="timestep", dtype="float32", shape=(1,)),
            Port(name="encoder_hidden_states", dtype=kind, shape=("batch", "tokens", WIDTH)),
            Port(name="mid_block", dtype=kind, shape=("batch", WIDTH, "height/2", "width/2")),
        )
        self.outputs: tuple[Port, ...] = (
            Port(name="noise_pred", dtype=kind, shape=("batch", 4, "height", "width")),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._module = _toy().to(getattr(torch, kind)).eval().requires_grad_(requires_grad=False)

    def module(self) -> torch.nn.Module:
        """Give the network."""
        return self._module

    def onnx(self) -> Path:
        """Export at the first call."""
        import torch

        path = self.folder / f"toy-{self.precision}.onnx"
        if not path.exists():
            axes = {0: "batch", 2: "height", 3: "width"}
            halves = {0: "batch", 2: "down", 3: "across"}
            shapes = ((axes, None, {0: "batch"}, halves),)
            inputs = self.sample({"batch": 2, "height": 8, "width": 12, "tokens": 77})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it tells of names that it merges
                program = torch.onnx.export(
                    self._module,
                    tuple(inputs.values()),
                    dynamo=True,
                    opset_version=18,
                    input_names=[port.name for port in self.inputs],
                    output_names=[port.name for port in self.outputs],
                    dynamic_shapes=shapes,
                    verbose=False,
                )
            assert program is not None  # noqa: S101 - with dynamo=True and no file there is one
            program.save(path)
        return path

    def sample(self, axes: Mapping[str, int], seed: int = 0) -> dict[str, torch.Tensor]:
        """Draw inputs from `seed`."""
        import torch

        drawn = torch.Generator().manual_seed(seed)
        batch, high, wide = axes["batch"], axes["height"], axes["width"]
        shapes = {
            "sample": (batch, 4, high, wide),
            "timestep": (1,),
            "encoder_hidden_states": (batch, axes["tokens"], WIDTH),
            "mid_block": (batch, WIDTH, -(-high // 2), -(-wide // 2)),
        }
        return {
            port.name: torch.randn(shapes[port.name], generator=drawn).to(getattr(torch, port.dtype))
            for port in self.inputs
        }
