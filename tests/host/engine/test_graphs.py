"""Networks as graphs: what goes in and out, and ONNX that gives what torch gives."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch
from stretto.host import Component, Family, ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.engine.components import settle
from stretto.host.engine.graph_samples import shape_at
from stretto.host.engine.graphs import check, network, present
from stretto.host.errors import UnsupportedError
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.plugins.loaders.control import ControlNetLoader

from .graph_models import SIZES, everything, load

FAMILIES = {
    "tiny_sd1": Family.SD1,
    "tiny_sd2": Family.SD2,
    "tiny_sdxl": Family.SDXL,
    "tiny_refiner": Family.SDXL_REFINER,
    "tiny_inpainter": Family.SD1,
}


@pytest.fixture(scope="module")
def decoder(tiny_sd1, tmp_path_factory):
    graph = network(load(tiny_sd1, Family.SD1), Component.VAE_DECODER, tmp_path_factory.mktemp("decoder"))
    graph.onnx()
    return graph


@pytest.mark.parametrize("fixture", FAMILIES)
def test_ports_say_what_goes_in_and_out(fixture, request, tmp_path):
    model = load(request.getfixturevalue(fixture), FAMILIES[fixture])
    for component in present(model):
        graph = network(model, component, tmp_path)
        for axes in SIZES:
            inputs = graph.sample(axes)
            assert [port.name for port in graph.inputs] == list(inputs)
            assert all(inputs[port.name].shape == shape_at(port, axes) for port in graph.inputs)
            with torch.inference_mode():
                given = graph.module()(*inputs.values())
            assert [tuple(tensor.shape) for tensor in given] == [
                shape_at(port, axes) for port in graph.outputs
            ], component


def test_models_have_the_components_that_they_have_networks_for(tiny_sdxl, tiny_refiner):
    texts = [Component.TEXT_ENCODER, Component.TEXT_ENCODER_2]
    assert [one for one in present(load(tiny_sdxl, Family.SDXL)) if one in texts] == texts
    assert [one for one in present(load(tiny_refiner, Family.SDXL_REFINER)) if one in texts] == texts[1:]
    assert present(everything()) == (Component.UNET, Component.CONTROLLED_UNET)


def test_a_component_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(UnsupportedError, match="has no vae_decoder; it has unet, controlled_unet"):
        network(everything(), Component.VAE_DECODER, tmp_path)


def test_a_controlled_unet_of_nine_channels_told_all_that_sdxl_is_told(tmp_path):
    # in float16, since diffusers mixes it with float32 where SDXL is told sizes
    graph = network(everything(), Component.CONTROLLED_UNET, tmp_path, Precision.FLOAT16)
    report = check(graph, SIZES)
    assert report.passed, report.why
    assert report.max_error < 1e-2
    names = [port.name for port in graph.inputs]
    assert names[:6] == [
        "sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids", "down_block_0"
    ]  # fmt: skip
    assert names[-1] == "mid_block"
    written = onnx.load(graph.onnx())
    onnx.checker.check_model(written, full_check=True)
    assert written.opset_import[0].version == 18
    assert _axes(written.graph.input[0]) == ["batch", 9, "height", "width"]
    assert _axes(written.graph.input[-1]) == ["batch", 16, "height_over_2", "width_over_2"]


def test_a_decoder_whose_pictures_are_torchs(decoder):
    report = check(decoder, SIZES)
    assert report.passed, report.why
    assert report.max_error < 1e-4
    assert _axes(onnx.load(decoder.onnx()).graph.output[0]) == ["batch", 3, "height_times_8", "width_times_8"]


def test_a_graph_of_other_weights_is_found_out(decoder):
    bias = decoder.held.decoder.conv_out.bias
    with torch.no_grad():
        bias += 1
    try:
        report = check(decoder, SIZES[:1])
    finally:
        with torch.no_grad():
            bias -= 1
    assert not report.passed
    assert "of its largest value off" in report.why


def test_an_encoder_in_bfloat16_gives_all_of_its_layers(tiny_refiner, tmp_path):
    model = load(tiny_refiner, Family.SDXL_REFINER)
    graph = network(model, Component.TEXT_ENCODER_2, tmp_path, Precision.BFLOAT16)
    report = check(graph, [{"batch": 1}, {"batch": 3}])
    assert report.passed, report.why
    assert report.max_error > 1e-4  # it is rounded indeed
    written = onnx.load(graph.onnx())
    assert onnx.TensorProto.BFLOAT16 in {tensor.data_type for tensor in written.graph.initializer}
    names = [output.name for output in written.graph.output]
    assert names == ["last_hidden_state", "text_embeds", *(f"hidden_state_{index}" for index in range(4))]
    assert next(model.text_encoders[0].parameters()).dtype is torch.float32


def test_a_graph_is_exported_once_for_a_folder(decoder, tmp_path):
    path = decoder.onnx()
    before = path.stat().st_mtime_ns
    assert decoder.onnx() == path
    assert path.stat().st_mtime_ns == before
    elsewhere = replace(decoder, folder=tmp_path)
    assert elsewhere.export is None


def test_samples_come_from_their_seed(decoder):
    same = [decoder.sample(SIZES[0], seed)["latents"] for seed in (3, 3, 4)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("fixture", [*FAMILIES, "controlnet"])
def test_every_network_of_every_family(fixture, precision, request, tmp_path):
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes; run with -m slow")
    if fixture == "controlnet":
        model = _controlnet(request.getfixturevalue("tiny_sdxl"), tmp_path)
    else:
        model = load(request.getfixturevalue(fixture), FAMILIES[fixture])
    for component in present(model):
        report = check(network(model, component, tmp_path, precision), SIZES)
        assert report.passed, (component, report.why)


def _controlnet(model, folder):
    path = make_tiny_controlnet(folder / "controlnet", model)
    weights = WeightFile(path=str(path), kind=WeightKind.CONTROLNET, family=Family.SDXL)
    spec = ModelSpec(role=Role.CONTROLNET, weights=weights)
    return settle(ControlNetLoader().load(spec, Precision.FLOAT32, "cpu"))


def _axes(value):
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
