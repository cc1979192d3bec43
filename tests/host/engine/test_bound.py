"""Calls that go to an engine, come back in the network's own type, or are left to torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from stretto.host.catalog.probe import probe
from stretto.host.contracts.engines import AxisRange, Component
from stretto.host.contracts.models import ModelSpec, Precision, Role
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.bound import Bound, Hearing, Untaken, lengths, swapped
from stretto.host.engine.components import settle
from stretto.host.engine.graphs import Graph, network
from stretto.host.errors import CancelledError, OutOfMemoryError
from stretto.host.testing.fixtures import tiny_sd1  # noqa: F401
from stretto.plugins.loaders import register_loaders

PROFILE = {
    "batch": AxisRange(min=1, opt=2, max=2),
    "height": AxisRange.only(8),
    "width": AxisRange.only(8),
    "tokens": AxisRange.only(77),
}


class Eager:
    """torch's own module as an engine: it computes in the graph's type, whatever the model's is."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.module: Any = graph.module()
        self.batches: list[int] = []
        self.fault: Exception | None = None

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        for port in self.graph.inputs:
            assert str(inputs[port.name].dtype) == f"torch.{port.dtype}"
            assert inputs[port.name].ndim == len(port.shape)
        self.batches.append(len(next(iter(inputs.values()))))
        if self.fault is not None:
            raise self.fault
        with torch.no_grad():
            outputs: tuple[torch.Tensor, ...] = self.module(
                *(inputs[port.name] for port in self.graph.inputs)
            )
        return outputs

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model(tiny_sd1: Path) -> LoadedModel:  # noqa: F811
    spec = ModelSpec(role=Role.BASE, weights=probe(tiny_sd1), precision=Precision.BFLOAT16)
    loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
    return settle(loader.load(spec, Precision.BFLOAT16, "cpu"))


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def hearing(heard: list[str]) -> Hearing:
    return Hearing(
        used=lambda component: heard.append(f"used {component}"),
        torch_did=heard.append,
        failed=lambda one: heard.append(f"failed {one.component}"),
    )


def bound(model: LoadedModel, component: Component, tmp_path: Path) -> tuple[Bound, Eager]:
    # another precision than the model's, so that its weights are a copy and its calls do not come back here
    graph = network(model, component, tmp_path, Precision.FLOAT32)
    engine = Eager(graph)
    profile = {name: span for name, span in PROFILE.items() if name != "tokens" or "unet" in component}
    return Bound(component=component, engine=engine, inputs=graph.inputs, profile=profile), engine


def predicted(model: LoadedModel, batch: int = 2, side: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn((batch, 4, side, side), generator=generator).bfloat16()
    tokens = torch.randn((batch, 77, model.unet.config.cross_attention_dim), generator=generator).bfloat16()
    with torch.inference_mode():
        noise: torch.Tensor = model.unet(
            rows, torch.tensor(500), encoder_hidden_states=tokens, return_dict=False
        )[0]
    return noise


def test_a_unets_calls_go_to_its_engine_and_come_back_in_its_type(
    model: LoadedModel, hearing: Hearing, heard: list[str], tmp_path: Path
) -> None:
    wanted = predicted(model)
    one, engine = bound(model, Component.UNET, tmp_path)
    with swapped(model, [one], hearing):
        found = predicted(model)
    assert (found.dtype, engine.batches, heard) == (torch.bfloat16, [2], ["used unet"])
    assert torch.allclose(found.float(), wanted.float(), atol=0.05)
    assert "forward" not in vars(model.unet)
    predicted(model)
    assert engine.batches == [2]


def test_larger_batches_go_in_parts(model: LoadedModel, hearing: Hearing, tmp_path: Path) -> None:
    wanted = predicted(model, batch=5)
    one, engine = bound(model, Component.UNET, tmp_path)
    with swapped(model, [one], hearing):
        found = predicted(model, batch=5)
    assert engine.batches == [2, 2, 1]
    assert torch.allclose(found.float(), wanted.float(), atol=0.05)


def test_another_size_is_torchs_and_said_once_a_call(
    model: LoadedModel, hearing: Hearing, heard: list[str], tmp_path: Path
) -> None:
    wanted = predicted(model, side=16)
    one, engine = bound(model, Component.UNET, tmp_path)
    with swapped(model, [one], hearing):
        found = predicted(model, side=16)
    assert engine.batches == []
    assert torch.equal(found, wanted)
    (why,) = heard
    assert why.startswith("unet: the engine takes height 8 to 8, and this is 16; windows (a `chunking_size`")


def test_an_engine_that_fails_is_torchs_from_then_on(
    model: LoadedModel, hearing: Hearing, heard: list[str], tmp_path: Path
) -> None:
    wanted = predicted(model)
    one, engine = bound(model, Component.UNET, tmp_path)
    engine.fault = RuntimeError("the kernel is\nill")
    with swapped(model, [one], hearing):
        found = [predicted(model), predicted(model)]
    assert engine.batches == [2]
    assert all(torch.equal(each, wanted) for each in found)
    assert heard == ["failed unet", "unet: its engine failed while it ran: the kernel is ill"]


@pytest.mark.parametrize(
    "fault",
    [CancelledError("stopped"), OutOfMemoryError("full"), MemoryError(), torch.OutOfMemoryError("full"),
     RuntimeError("CUDA error: out of memory")],
)  # fmt: skip
def test_a_stop_and_a_full_device_are_no_failures_of_an_engine(
    model: LoadedModel, hearing: Hearing, heard: list[str], tmp_path: Path, fault: Exception
) -> None:
    one, engine = bound(model, Component.UNET, tmp_path)
    engine.fault = fault
    with pytest.raises(type(fault)), swapped(model, [one], hearing):
        predicted(model)
    assert heard == []


def test_a_failure_inside_puts_the_network_back(model: LoadedModel, hearing: Hearing, tmp_path: Path) -> None:
    one, _ = bound(model, Component.UNET, tmp_path)
    other, _ = bound(model, Component.VAE_DECODER, tmp_path)
    with pytest.raises(RuntimeError, match="stopped"), swapped(model, [one, other], hearing):
        raise RuntimeError("stopped")
    assert "forward" not in vars(model.unet)
    assert "_decode" not in vars(model.vae)


def test_a_vaes_calls_go_to_its_engines(
    model: LoadedModel, hearing: Hearing, heard: list[str], tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn((1, 4, 8, 8), generator=generator).bfloat16()
    pixels = torch.rand((1, 3, 64, 64), generator=generator).bfloat16()
    with torch.inference_mode():
        wanted = model.vae.decode(latents).sample, model.vae.encode(pixels).latent_dist.mean
        engines = [
            bound(model, component, tmp_path)[0]
            for component in (Component.VAE_DECODER, Component.VAE_ENCODER)
        ]
        with swapped(model, engines, hearing):
            found = model.vae.decode(latents).sample, model.vae.encode(pixels).latent_dist.mean
    assert heard == ["used vae_decoder", "used vae_encoder"]
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one.float() - other.float()).abs().max() < 0.03 * other.float().abs().max()


def test_a_text_encoders_calls_go_to_its_engine(
    model: LoadedModel, hearing: Hearing, heard: list[str], tmp_path: Path
) -> None:
    (encoder,) = model.text_encoders
    graph = network(model, Component.TEXT_ENCODER, tmp_path, Precision.FLOAT32)
    engine = Eager(graph)
    profile = {"batch": AxisRange(min=1, opt=2, max=2)}
    one = Bound(component=Component.TEXT_ENCODER, engine=engine, inputs=graph.inputs, profile=profile)
    ids = graph.sample({"batch": 1})["input_ids"]
    with torch.inference_mode():
        wanted = encoder(ids, output_hidden_states=True)
        with swapped(model, [one], hearing):
            found = encoder(ids, output_hidden_states=True)
            masked = encoder(ids, torch.zeros_like(ids))
    assert (heard, engine.batches) == (["used text_encoder"], [1])  # the masked call is torch's
    assert masked.last_hidden_state.shape == found.last_hidden_state.shape
    assert len(found.hidden_states) == len(wanted.hidden_states)
    for got, there in zip((found[0], *found.hidden_states), (wanted[0], *wanted.hidden_states), strict=True):
        assert got.dtype == torch.bfloat16
        assert (got.float() - there.float()).abs().max() < 0.03 * there.float().abs().max()


def test_lengths_are_read_off_scaled_axes(model: LoadedModel, tmp_path: Path) -> None:
    graph = network(model, Component.CONTROLLED_UNET, tmp_path)
    axes = {"batch": 2, "height": 16, "width": 24, "tokens": 77}
    assert lengths(graph.inputs, graph.sample(axes)) == axes
    graph = network(model, Component.VAE_ENCODER, tmp_path)
    axes = {"batch": 1, "height": 8, "width": 16}
    assert lengths(graph.inputs, graph.sample(axes)) == axes


def test_what_is_outside_is_named(model: LoadedModel, tmp_path: Path) -> None:
    one, _ = bound(model, Component.VAE_DECODER, tmp_path)
    with pytest.raises(Untaken, match="vae_decoder: the engine takes width 8 to 8, and this is 9"):
        one({"latents": torch.zeros(1, 4, 8, 9)})
