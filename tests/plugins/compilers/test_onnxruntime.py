"""ONNX Runtime: engines that are the graph itself, opened on torch's memory."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime
import pytest
import torch
from stretto.host import AxisRange, Component, Port, Precision
from stretto.host.errors import EngineBuildError, EngineOpenError
from stretto.plugins.compilers import onnxruntime as compilers
from stretto.plugins.compilers.onnxruntime import OFFERS, OnnxRuntime

SIDE = AxisRange(min=2, opt=4, max=64)
PROFILE = {"batch": AxisRange(min=1, opt=2, max=4), "height": SIDE, "width": SIDE}
FIXED = {"batch": AxisRange.only(2), "height": AxisRange.only(4), "width": AxisRange.only(6)}


@dataclass
class Halves:
    """A network whose output is twice as large as its second input and half as large as its first."""

    folder: Path
    component: Component = Component.CONTROLLED_UNET
    precision: Precision = Precision.FLOAT32
    inputs: tuple[Port, ...] = field(
        default_factory=lambda: (
            Port(name="sample", dtype="float32", shape=("batch", 3, "height", "width")),
            Port(name="mid_block", dtype="float32", shape=("batch", 3, "height/2", "width/2")),
        )
    )
    outputs: tuple[Port, ...] = field(
        default_factory=lambda: (
            Port(name="image", dtype="float32", shape=("batch", 3, "height*2", "width*2")),
            Port(name="small", dtype="float32", shape=("batch", 3, "height/2", "width/2")),
        )
    )

    def module(self) -> torch.nn.Module:
        raise AssertionError("a compiler of graphs asks for no module")

    def onnx(self) -> Path:
        from onnx import TensorProto, helper, numpy_helper, save
        from onnx.external_data_helper import set_external_data, write_external_data_tensors

        shapes = {
            port.name: [str(word).replace("*", "x").replace("/", "o") if isinstance(word, str) else word
                        for word in port.shape]
            for port in (*self.inputs, *self.outputs)
        }  # fmt: skip
        values = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        }
        scales = numpy_helper.from_array(torch.tensor([1.0, 1, 2, 2]).numpy(), "scales")
        three = numpy_helper.from_array(torch.tensor(3.0).numpy(), "three")
        nodes = [
            helper.make_node("Resize", ["sample", "", "scales"], ["image"], mode="nearest",
                             coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            helper.make_node("Mul", ["mid_block", "three"], ["small"]),
        ]  # fmt: skip
        inputs = [values[port.name] for port in self.inputs]
        outputs = [values[port.name] for port in self.outputs]
        graph = helper.make_graph(nodes, "halves", inputs, outputs, [scales, three])
        path = self.folder / "halves.onnx"
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        (factor,) = [tensor for tensor in model.graph.initializer if tensor.name == "three"]
        set_external_data(factor, "halves.onnx.data")
        save(write_external_data_tensors(model, str(self.folder)), path)
        return path

    def sample(self, axes, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        batch, height, width = axes["batch"], axes["height"], axes["width"]
        return {
            "sample": torch.randn(batch, 3, height, width, generator=generator),
            "mid_block": torch.randn(batch, 3, -(-height // 2), -(-width // 2), generator=generator),
        }


@pytest.fixture
def network(tmp_path):
    (tmp_path / "export").mkdir()
    return Halves(tmp_path / "export")


@pytest.fixture
def engine(network, tmp_path):
    out = tmp_path / "engine"
    out.mkdir()
    OnnxRuntime().build(network, PROFILE, "cpu", out, lambda *_: None)
    shutil.rmtree(network.folder)
    return out


@pytest.fixture
def opened(engine, network):
    session = OnnxRuntime().open(engine, network, PROFILE, "cpu")
    yield session
    session.close()


def right(inputs, given):
    image = torch.nn.functional.interpolate(inputs["sample"], scale_factor=2)
    return torch.equal(given[0], image) and torch.equal(given[1], inputs["mid_block"] * 3)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 7), (2, 64)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_gives_what_the_graph_gives_at_every_size(opened, network, height, width, order):
    inputs = network.sample({"batch": 2, "height": height, "width": width})
    laid = {name: tensor.contiguous(memory_format=order) for name, tensor in inputs.items()}
    assert right(inputs, opened(laid))


def test_outputs_are_not_written_over(opened, network):
    inputs = [network.sample({"batch": 1, "height": 4, "width": 4}, seed) for seed in (0, 1)]
    given = [opened(one) for one in inputs]
    assert all(map(right, inputs, given))


def test_tensors_of_inference_are_taken(opened, network):
    with torch.inference_mode():
        inputs = network.sample({"batch": 1, "height": 4, "width": 4})
        assert right(inputs, opened(inputs))


def test_axes_of_one_length_are_fixed(engine, network):
    session = OnnxRuntime().open(engine, network, FIXED, "cpu")
    inputs = network.sample({"batch": 2, "height": 4, "width": 6})
    assert right(inputs, session(inputs))
    with pytest.raises(EngineOpenError, match="controlled_unet's engine failed at"):
        session(network.sample({"batch": 1, "height": 4, "width": 6}))


def test_as_many_threads_as_torch(engine, network, monkeypatch):
    made = []

    class Seen(onnxruntime.SessionOptions):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Seen)
    OnnxRuntime().open(engine, network, PROFILE, "cpu")
    assert [one.intra_op_num_threads for one in made] == [torch.get_num_threads()]


def test_a_closed_engine_says_so(engine, network):
    session = OnnxRuntime().open(engine, network, PROFILE, "cpu")
    session.close()
    session.close()
    with pytest.raises(EngineOpenError, match="is closed"):
        session(network.sample({"batch": 1, "height": 4, "width": 4}))


def test_an_engine_holds_the_graph_and_the_weights_beside_it(engine):
    assert sorted(file.name for file in engine.iterdir()) == ["halves.onnx.data", "network.onnx"]


@pytest.mark.parametrize("gone", ["network.onnx", "halves.onnx.data"])
def test_a_missing_file_is_told(engine, network, gone):
    (engine / gone).unlink()
    with pytest.raises(EngineOpenError, match=gone):
        OnnxRuntime().open(engine, network, PROFILE, "cpu")


def test_what_is_no_graph_is_told(engine, network):
    (engine / "network.onnx").write_bytes(b"this is no graph")
    with pytest.raises(EngineOpenError, match=r"ONNX Runtime cannot open .*network.onnx"):
        OnnxRuntime().open(engine, network, PROFILE, "cpu")


def test_a_graph_that_cannot_be_opened_is_not_built(network, tmp_path, monkeypatch):
    broken = network.folder / "broken.onnx"
    broken.write_bytes(b"this is no graph")
    monkeypatch.setattr(network, "onnx", lambda: broken)
    out = tmp_path / "engine"
    out.mkdir()
    with pytest.raises(EngineBuildError, match="cannot build the controlled_unet: "):
        OnnxRuntime().build(network, PROFILE, "cpu", out, lambda *_: None)
    assert not list(out.iterdir())


def test_a_build_ends_when_its_listener_says_so(network, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OnnxRuntime().build(network, PROFILE, "cpu", tmp_path, stop)


def test_other_targets_are_refused(network, tmp_path):
    with pytest.raises(EngineBuildError, match="for 'sm89'; it builds for cpu and cuda"):
        OnnxRuntime().build(network, PROFILE, "sm89", tmp_path, lambda *_: None)


def test_says_where_engines_run(monkeypatch):
    compiler = OnnxRuntime()
    assert compiler.unable("cpu", "cpu") is None
    assert "built for cuda" in compiler.unable("cuda", "cpu")
    assert "computes on 'mps'" in compiler.unable("cpu", "mps")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "no CUDA provider" in compiler.unable("cuda", "cuda:0")


def test_what_goes_into_the_key():
    compiler = OnnxRuntime()
    assert compiler.version() == f"onnxruntime {onnxruntime.__version__}"
    assert (compiler.target("cuda:1"), compiler.target("cpu")) == ("cuda", "cpu")
    assert compiler.targets() == ("cpu", "cuda")


def test_the_offer_says_what_is_missing(monkeypatch):
    (offer,) = OFFERS
    assert offer.missing() is None
    monkeypatch.setattr(compilers, "find_spec", lambda _: None)
    assert "pip install onnxruntime-gpu" in offer.missing()
