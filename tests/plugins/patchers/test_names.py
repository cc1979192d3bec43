"""Whose layer a tensor's name means."""

from __future__ import annotations

import pytest
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import ModelSpec, Precision, Role
from stretto.host.testing.adapters import LoraForm, make_lora, model_layers
from stretto.plugins.loaders import register_loaders
from stretto.plugins.patchers.names import layers_of, split_name
from stretto.plugins.patchers.reading import read_values

ATTENTION = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (f"lora_unet_{ATTENTION}.lora_up.weight", ("unet", ATTENTION, "up")),
        (f"lora_unet_{ATTENTION}.alpha", ("unet", ATTENTION, "alpha")),
        (f"lora_unet_{ATTENTION}.hada_w1_a", ("unet", ATTENTION, "hada_w1_a")),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
         ("text_encoder", "encoder_layers_0_mlp_fc1", "down")),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1.dora_scale",
         ("text_encoder_2", "encoder_layers_0_mlp_fc1", "dora_scale")),
        ("unet.conv_in.lora_A.weight", ("unet", "conv_in", "down")),
        ("base_model.model.conv_in.lora_B.default.weight", ("unet", "conv_in", "up")),
        ("unet.base_model.model.conv_in.lora_B.weight", ("unet", "conv_in", "up")),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.up.weight",
         ("text_encoder", "encoder_layers_0_mlp_fc1", "up")),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
         ("unet", "mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0", "up")),
        ("lycoris_down_blocks_0_resnets_0_norm1.w_norm", ("unet", "down_blocks_0_resnets_0_norm1", "diff")),
        ("lora_unet_conv_in.oft_blocks", None),
        ("weight", None),
        ("alpha", None),
    ],
)  # fmt: skip
def test_names(name, meaning):
    assert split_name(name) == meaning


@pytest.mark.parametrize("naming", ["kohya", "sgm", "diffusers", "peft", "processor"])
@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sd2", "tiny_sdxl", "tiny_inpainter", "starter_path"])
def test_every_layer_is_found_under_every_name(request, tmp_path, model, naming):
    folder = request.getfixturevalue(model)
    loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
    spec = ModelSpec(role=Role.BASE, weights=probe(folder))
    layers = layers_of(loader.load(spec, Precision.FLOAT32, "cpu"), [("unet", "a name of nobody")])
    form = LoraForm(naming=naming, text=True, convolutions=True)
    file = make_lora(folder, tmp_path / "style.safetensors", form)
    places = {split_name(name)[:2] for name in read_values(file)}
    wanted = model_layers(folder, text=True, convolutions=True)
    assert len(places) == len(wanted)
    assert {id(layers[place]) for place in places} == {
        id(layers[part, name.replace(".", "_")]) for part, name in wanted
    }
    for (part, name), shape in wanted.items():
        assert tuple(layers[part, name.replace(".", "_")].weight.shape) == shape
