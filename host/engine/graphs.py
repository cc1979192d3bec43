"""Networks of a loaded model as graphs that compilers take: what goes in and out, ONNX, and inputs to try them on.

One graph is right for every size, batch and length of prompt; which of them an engine takes, its profile says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..contracts.engines import Component, ParityReport, Port
from ..contracts.models import Precision, Role
from ..contracts.protocols import LoadedModel
from ..errors import EngineBuildError, UnsupportedError
from .components import home_of
from .device import dtype_of
from .graph_modules import module_for
from .graph_ports import network_of, ports
from .graph_samples import drawn
from .graph_weights import converted, merge_beside, precision_of
from .onnx_export import export
from .onnx_running import outputs_of
from .parity import BOUNDS, compare, worst

__all__ = ["Export", "Graph", "check", "network", "present"]

# Lengths at which a graph is traced: all of them different, and different when they are halved.
TRACED: Mapping[str, int] = {"batch": 2, "height": 16, "width": 24, "tokens": 154}


def present(model: LoadedModel) -> tuple[Component, ...]:
    """Give the components that this model has; a ControlNet has but one."""
    if model.spec.role is Role.CONTROLNET:
        return (Component.CONTROLNET,)
    found = [Component.UNET, Component.CONTROLLED_UNET]
    if model.vae is not None:
        found += [Component.VAE_ENCODER, Component.VAE_DECODER]
    first, second = Component.TEXT_ENCODER, Component.TEXT_ENCODER_2
    if len(model.text_encoders) > 1:
        found += [first, second]
    elif model.text_encoders:  # SDXL's refiner has the second one alone
        found.append(second if hasattr(model.text_encoders[0], "text_projection") else first)
    return tuple(found)


def network(
    model: LoadedModel, component: Component, folder: Path, precision: Precision | None = None
) -> Graph:
    """Give a component as a graph that computes in `precision`, the network's own if none is said.

    `folder` is where `onnx()` writes. Raises UnsupportedError where the model has no such component.
    """
    there = present(model)
    if component not in there:
        raise UnsupportedError(
            f"The model '{model.spec.weights.name or model.spec.weights.path}' has no {component}; "
            f"it has {', '.join(there)}."
        )
    held = network_of(model, component)
    chosen = precision or precision_of(held)
    taken, given = ports(model, component, chosen)
    return Graph(component=component, precision=chosen, inputs=taken, outputs=given, held=held, folder=folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An ONNX file, and how it did against torch where that was asked for."""

    path: Path
    report: ParityReport | None = None


@dataclass(slots=True, kw_only=True)
class Graph:
    """One network with the weights that it has now; implements the contracts' `Network`.

    What runs beside the weights is merged into them at the first use, since a graph holds weights alone.
    """

    component: Component
    precision: Precision
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    held: Any  # the network, as the model has it
    folder: Path
    checked_at: Sequence[Mapping[str, int]] = ()  # lengths at which an export is compared with torch
    export: Export | None = field(default=None, init=False)
    _module: torch.nn.Module | None = field(default=None, repr=False, init=False)

    def module(self) -> torch.nn.Module:
        """Give a module over the network's own weights, or over a copy of them in another precision.

        Raises EngineBuildError for a change of the network that cannot be merged.
        """
        if self._module is None:
            merge_beside(self.held, self.component)
            same = precision_of(self.held) is self.precision
            taken = self.held if same else converted(self.held, dtype_of(self.precision))
            self._module = module_for(self.component, taken, self.inputs)
        return self._module

    def onnx(self) -> Path:
        """Give the ONNX file, exported, cleaned and checked at the first call; raises EngineBuildError."""
        if self.export is None:
            path = self.folder / f"{self.component}.onnx"
            try:
                with torch.inference_mode(mode=False), torch.no_grad():
                    export(
                        self.component, self.module(), self.sample(TRACED), (self.inputs, self.outputs), path
                    )
            except OSError as error:
                raise EngineBuildError(
                    f"the ONNX graph of the {self.component} cannot be written to {self.folder}: "
                    f"{error.strerror or error}; free some disk, or name another folder with --engine-dir"
                ) from error
            report = _checked(self, path, self.checked_at) if self.checked_at else None
            if report is not None and not report.passed:
                raise EngineBuildError(
                    f"the ONNX graph of the {self.component} does not compute what torch does: {report.why}"
                )
            self.export = Export(path=path, report=report)
        return self.export.path

    def sample(self, axes: Mapping[str, int], seed: int = 0) -> dict[str, torch.Tensor]:
        """Give inputs by name for these lengths of the axes, drawn from `seed`, on the network's device."""
        return drawn(self.inputs, axes, self.held.config, seed, home_of(self.held))


def check(graph: Graph, sizes: Sequence[Mapping[str, int]]) -> ParityReport:
    """Compare the exported ONNX on ONNX Runtime (CPU) with torch at each of `sizes`, lengths of the axes by name."""
    return _checked(graph, graph.onnx(), sizes)


def _checked(graph: Graph, path: Path, sizes: Sequence[Mapping[str, int]]) -> ParityReport:
    calls = [graph.sample(axes, seed) for seed, axes in enumerate(sizes)]
    given = outputs_of(path, calls, widen=graph.precision is Precision.BFLOAT16)
    module, found = graph.module(), []
    for inputs, outputs in zip(calls, given, strict=True):
        with torch.inference_mode():
            expected = module(*inputs.values())
        found.append(compare(expected, outputs, BOUNDS[graph.precision]))
    return worst(found)
