"""What the gate makes of an engine that is right, of one with other weights, and of one that fails."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from stretto.host.catalog.probe import probe
from stretto.host.contracts.engines import AxisRange, Component
from stretto.host.contracts.models import ModelSpec, Precision, Role
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.bound import Bound
from stretto.host.engine.components import settle
from stretto.host.engine.gate import DRAWN_DB, check_engine, drawn_psnr_db
from stretto.host.engine.graph_modules import module_for
from stretto.host.engine.graphs import Graph, network
from stretto.host.errors import EngineOpenError
from stretto.host.testing.fixtures import tiny_sd1  # noqa: F401
from stretto.plugins.loaders import register_loaders
from stretto.plugins.schedulers import register_schedulers

PROFILE = {
    "batch": AxisRange(min=1, opt=2, max=2),
    "height": AxisRange(min=8, opt=16, max=16),
    "width": AxisRange(min=8, opt=16, max=16),
    "tokens": AxisRange.only(77),
}
SIZE_PX = 128


class Copied:
    """A UNet's copy as an engine."""

    def __init__(self, graph: Graph, unet: Any) -> None:
        self.unet = copy.deepcopy(unet)
        self._names = [port.name for port in graph.inputs]
        self._module = module_for(Component.UNET, self.unet, graph.inputs)
        self.fault: Exception | None = None

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if self.fault is not None:
            raise self.fault
        with torch.inference_mode():
            found: tuple[torch.Tensor, ...] = self._module(*(inputs[name] for name in self._names))
        return found

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model(tiny_sd1: Path) -> LoadedModel:  # noqa: F811
    spec = ModelSpec(role=Role.BASE, weights=probe(tiny_sd1), precision=Precision.FLOAT32)
    loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
    return settle(loader.load(spec, Precision.FLOAT32, "cpu"))


@pytest.fixture
def graph(model: LoadedModel, tmp_path: Path) -> Graph:
    return network(model, Component.UNET, tmp_path)


@pytest.fixture
def engine(graph: Graph, model: LoadedModel) -> Copied:
    return Copied(graph, model.unet)


@pytest.fixture
def bound(graph: Graph, engine: Copied) -> Bound:
    return Bound(component=Component.UNET, engine=engine, inputs=graph.inputs, profile=PROFILE)


def drawn(model: LoadedModel, bound: Bound) -> float:
    spec = next(offer for offer in register_schedulers() if offer.name == "ddim")
    return drawn_psnr_db(model, [bound], spec.build(dict(model.scheduler_config)), SIZE_PX)


def test_an_equal_network_passes_and_draws_the_same_picture(
    model: LoadedModel, graph: Graph, bound: Bound
) -> None:
    report = check_engine(bound, graph)
    assert (report.passed, report.max_error, report.why) == (True, 0.0, "")
    assert report.cosine == pytest.approx(1.0)
    assert drawn(model, bound) == 100.0


def test_another_weight_is_seen_in_the_outputs_and_in_the_picture(
    model: LoadedModel, graph: Graph, engine: Copied, bound: Bound
) -> None:
    with torch.no_grad():
        engine.unet.conv_out.weight *= -1
    report = check_engine(bound, graph)
    assert not report.passed
    assert report.max_error > report.bound
    assert "of its largest value off" in report.why
    assert drawn(model, bound) < DRAWN_DB


def test_what_is_no_number_does_not_pass(graph: Graph, engine: Copied, bound: Bound) -> None:
    with torch.no_grad():
        engine.unet.conv_out.bias.fill_(math.nan)
    assert check_engine(bound, graph).why == "output 0 has values that are no numbers"


def test_an_engine_that_fails_does_not_pass(
    model: LoadedModel, graph: Graph, engine: Copied, bound: Bound
) -> None:
    engine.fault = RuntimeError("an illegal instruction was encountered")
    report = check_engine(bound, graph)
    assert not report.passed
    assert report.why == "its engine failed while it ran: an illegal instruction was encountered"
    # torch's picture is never held against itself
    with pytest.raises(EngineOpenError, match="illegal instruction"):
        drawn(model, bound)
    assert "forward" not in vars(model.unet)
