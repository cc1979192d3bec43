from __future__ import annotations

from typing import Any

import pytest
import torch
from stretto.host import Family, ModelSpec, Precision, Role
from stretto.host.catalog.probe import probe
from stretto.host.engine.components import settle, size_bytes
from stretto.host.errors import WeightsError
from stretto.host.testing.controls import make_original_controlnet, make_tiny_controlnet
from stretto.host.testing.fixtures import tiny_sd1, tiny_sdxl  # noqa: F401
from stretto.plugins.loaders import register_loaders


def load(path: Any, precision: Precision = Precision.FLOAT32) -> Any:
    spec = ModelSpec(role=Role.CONTROLNET, weights=probe(path), precision=precision)
    loader = next(loader for offer in register_loaders() if (loader := offer.build()).accepts(spec.weights))
    return settle(loader.load(spec, precision, "cpu"))


@pytest.fixture(params=["tiny_sd1", "tiny_sdxl"])
def folder(request: Any, tmp_path: Any) -> Any:
    return make_tiny_controlnet(tmp_path / "net", request.getfixturevalue(request.param))


def test_a_folder(folder):
    from diffusers import ControlNetModel

    model = load(folder)
    theirs = ControlNetModel.from_pretrained(folder, local_files_only=True)
    ours = model.unet.state_dict()
    assert ours.keys() == theirs.state_dict().keys()
    assert all(torch.equal(ours[key], value) for key, value in theirs.state_dict().items())
    assert size_bytes(model) == sum(value.numel() * 4 for value in ours.values())


def test_precision(folder):
    assert load(folder, Precision.BFLOAT16).unet.dtype is torch.bfloat16


def test_a_file_of_the_original_layout(folder, tmp_path):
    path = make_original_controlnet(folder, tmp_path / "one.safetensors")
    ours, theirs = load(path).unet.state_dict(), load(folder).unet.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_a_single_file_of_diffusers_names(folder, tmp_path):
    path = tmp_path / "one.safetensors"
    path.write_bytes((folder / "diffusion_pytorch_model.safetensors").read_bytes())
    (tmp_path / "one.config").mkdir()
    (tmp_path / "one.config" / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert load(path).unet.state_dict().keys() == load(folder).unet.state_dict().keys()


@pytest.mark.parametrize("family", [Family.SD1, Family.SDXL])
def test_a_full_sized_file_says_its_settings_by_its_shapes(family):
    """Sized by names and shapes alone, as the files of lllyasviel and of diffusers' SDXL are."""
    from diffusers import ControlNetModel, UNet2DConditionModel
    from stretto.host import WeightFile, WeightKind
    from stretto.plugins.loaders.control import CONFIGS, _config
    from stretto.plugins.loaders.reading import read_json

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(read_json(CONFIGS / family.value / "unet" / "config.json"))
        net = ControlNetModel.from_config(
            {
                **{
                    key: unet.config[key]
                    for key in (
                        "in_channels", "down_block_types", "block_out_channels", "layers_per_block",
                        "cross_attention_dim", "attention_head_dim", "transformer_layers_per_block",
                        "use_linear_projection", "addition_embed_type", "addition_time_embed_dim",
                        "projection_class_embeddings_input_dim",
                    )
                }
            }
        )  # fmt: skip
        config = _config(net.state_dict(), WeightFile(path="/any.pth", kind=WeightKind.CONTROLNET))
        again = ControlNetModel.from_config(config)
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes
    heads = [net.down_blocks[i].attentions[0].transformer_blocks[0].attn1.heads for i in (1,)]
    assert heads == [again.down_blocks[i].attentions[0].transformer_blocks[0].attn1.heads for i in (1,)]


def test_what_is_no_controlnet_is_named(tmp_path):
    folder = tmp_path / "controlnet"
    folder.mkdir()
    torch.save({"weight": torch.zeros(2)}, folder / "any.pth")
    with pytest.raises(WeightsError, match=r"any.pth is no ControlNet of Stable Diffusion"):
        load(folder / "any.pth")
