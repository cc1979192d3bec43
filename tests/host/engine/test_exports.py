"""One export for several targets, held against torch, and gone when its builder is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from stretto.host.contracts.engines import Component
from stretto.host.contracts.models import Family
from stretto.host.engine import graphs, onnx_export
from stretto.host.engine.exports import CHECKED, Exports
from stretto.host.engine.graphs import Graph, network
from stretto.host.errors import EngineBuildError
from stretto.host.testing.fixtures import tiny_sd1  # noqa: F401
from stretto.trt_cache.store import EngineStore

from .graph_models import load


@pytest.fixture
def graph(tiny_sd1: Path, tmp_path: Path) -> Graph:  # noqa: F811
    return network(load(tiny_sd1, Family.SD1), Component.TEXT_ENCODER, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    real = graphs.export

    def counted(component: Component, *rest: Any) -> None:
        seen.append(component)
        real(component, *rest)

    monkeypatch.setattr(graphs, "export", counted)
    return seen


def test_targets_share_an_export_and_what_was_found_of_it(
    graph: Graph, store: EngineStore, exported: list[str]
) -> None:
    exports, found = Exports(store), []
    for _target in range(3):
        with exports.of(graph, "a" * 64, keep=True, check=True) as one:
            path = one.onnx()
            assert one.export is not None
            found.append((path, one.export.report))
    assert exported == ["text_encoder"]
    assert len({path for path, _ in found}) == 1
    report = found[0][1]
    assert report is not None
    assert report.passed
    assert 0 < report.max_error < report.bound
    assert path.is_file()
    assert EngineStore(store.root).sweep() == 0  # it is in hand
    exports.close()
    assert list(store.root.glob(".part-*")) == []
    assert list((store.root / ".locks").iterdir()) == []


def test_an_export_that_was_not_held_against_torch_serves_nobody_who_asks_for_that(
    graph: Graph, store: EngineStore, exported: list[str]
) -> None:
    exports = Exports(store)
    for check in (False, True):
        with exports.of(graph, "a" * 64, keep=True, check=check) as one:
            one.onnx()
            assert one.export is not None
            assert (one.export.report is not None) is check
    assert exported == ["text_encoder"] * 2
    exports.close()


def test_another_network_or_one_that_is_not_kept_leaves_nothing(
    graph: Graph, store: EngineStore, exported: list[str]
) -> None:
    exports = Exports(store)
    for digest, keep in (("a", True), ("b", False)):
        with exports.of(graph, digest * 64, keep=keep, check=False) as one:
            one.onnx()
            assert one.export is not None
            assert one.export.report is None
    assert exported == ["text_encoder"] * 2
    assert list(store.root.glob(".part-*")) == []


def test_an_export_that_computes_something_else_is_refused_and_gone(
    graph: Graph, store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = graphs.export

    def spoilt(component: Component, module: torch.nn.Module, *rest: Any) -> None:
        weight = next(parameter for parameter in module.parameters() if parameter.dim() > 1)
        before = weight.detach().clone()
        weight.data.mul_(-3)
        real(component, module, *rest)
        weight.data.copy_(before)

    monkeypatch.setattr(graphs, "export", spoilt)
    exports = Exports(store)
    with (
        pytest.raises(
            EngineBuildError, match="the ONNX graph of the text_encoder does not compute what torch does"
        ),
        exports.of(graph, "a" * 64, keep=True, check=True) as one,
    ):
        one.onnx()
    assert list(store.root.glob(".part-*")) == []


def test_the_lengths_that_are_checked_are_two_and_differ() -> None:
    first, second = CHECKED
    assert all(first[name] != second[name] for name in first)


def test_a_folder_that_cannot_be_written_is_named_with_its_remedy(graph: Graph, tmp_path: Path) -> None:
    graph.folder = tmp_path / "file"
    graph.folder.write_bytes(b"")
    with pytest.raises(EngineBuildError) as raised:
        graph.onnx()
    said = str(raised.value)
    assert said.startswith(f"the ONNX graph of the text_encoder cannot be written to {graph.folder}: ")
    assert said.endswith("; free some disk, or name another folder with --engine-dir")
    assert graph.export is None


def test_weights_that_no_message_holds_lie_beside_the_file_and_compute_the_same(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "WHOLE_BYTES", 1000)
    graph.checked_at = CHECKED
    path = graph.onnx()
    beside = path.with_name(f"{path.name}.data")
    assert beside.stat().st_size > 1000
    assert graph.export is not None
    assert graph.export.report is not None
    assert graph.export.report.passed


def test_a_graph_that_no_message_holds_is_one_clear_error(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(*_rest: Any, **_named: Any) -> None:
        raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB: 2200000000")

    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", over)
    with pytest.raises(
        EngineBuildError, match=r"text_encoder: its graph cannot be written as ONNX: Message .* size of 2GB"
    ):
        graph.onnx()
    assert graph.export is None
