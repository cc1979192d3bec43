from __future__ import annotations

from math import prod

import pytest
from stretto.host.catalog.contents import family_of, in_channels, kind_of, prediction_of
from stretto.host.catalog.header import Header
from stretto.host.contracts.models import Family, WeightKind

UNET = "model.diffusion_model."
SD1 = {UNET + "input_blocks.0.0.weight": (320, 4, 3, 3), "cond_stage_model.transformer.x": (1,)}
SD2 = {UNET + "input_blocks.0.0.weight": (320, 4, 3, 3), "cond_stage_model.model.x": (1,)}
XL = {
    UNET + "input_blocks.0.0.weight": (320, 4, 3, 3),
    UNET + "label_emb.0.0.weight": (1280, 2816),
    "conditioner.embedders.0.transformer.x": (1,),
    "conditioner.embedders.1.model.x": (1,),
}
REFINER = {
    UNET + "input_blocks.0.0.weight": (384, 4, 3, 3),
    UNET + "label_emb.0.0.weight": (1536, 2560),
    "conditioner.embedders.0.model.x": (1,),
}
TO_K = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def header(shapes: dict[str, tuple[int, ...]], **metadata: str) -> Header:
    texts = {key.replace("__", "."): value for key, value in metadata.items()}
    size_bytes = sum(4 * prod(shape) for shape in shapes.values())
    return Header(shapes=shapes, metadata=texts, digest="", size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("shapes", "kind", "family"),
    [
        (SD1, WeightKind.CHECKPOINT, Family.SD1),
        (SD2, WeightKind.CHECKPOINT, Family.SD2),
        (XL, WeightKind.CHECKPOINT, Family.SDXL),
        (REFINER, WeightKind.CHECKPOINT, Family.SDXL_REFINER),
        # a checkpoint that lost its text encoder is still known by what its attention reads
        (
            {
                UNET + "input_blocks.0.0.weight": (320, 4, 3, 3),
                UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
            },
            WeightKind.CHECKPOINT,
            Family.SD2,
        ),
        ({"decoder.conv_in.weight": (512, 4, 3, 3)}, WeightKind.VAE, None),
        ({"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}, WeightKind.VAE, None),
        # LoRA: kohya's, peft's, older diffusers', SGM's names
        ({f"lora_unet_{TO_K}.lora_down.weight": (4, 768)}, WeightKind.LORA, Family.SD1),
        ({f"lora_unet_{TO_K}.lora_down.weight": (4, 1024)}, WeightKind.LORA, Family.SD2),
        ({"unet.mid_block.attn2.to_k.lora_A.weight": (4, 2048)}, WeightKind.LORA, Family.SDXL),
        ({"unet.mid_block.attn2.to_v.lora.down.weight": (4, 768)}, WeightKind.LORA, Family.SD1),
        ({"lora_unet_input_blocks_4_1_attn2_to_k.lora_down.weight": (8, 2048)}, WeightKind.LORA, Family.SDXL),
        ({"lora_te2_text_model_encoder_layers_0.lora_down.weight": (8, 1280)}, WeightKind.LORA, Family.SDXL),
        ({"lora_te_text_model_encoder_layers_0.lora_down.weight": (8, 768)}, WeightKind.LORA, None),
        # LyCORIS: LoHa, LoKr whole and factored, LoCon with a core
        (
            {f"lora_unet_{TO_K}.hada_w1_a": (320, 4), f"lora_unet_{TO_K}.hada_w1_b": (4, 768)},
            WeightKind.LYCORIS,
            Family.SD1,
        ),
        (
            {f"lora_unet_{TO_K}.lokr_w1": (8, 8), f"lora_unet_{TO_K}.lokr_w2": (40, 128)},
            WeightKind.LYCORIS,
            Family.SD2,
        ),
        (
            {f"lora_unet_{TO_K}.lokr_w1": (8, 8), f"lora_unet_{TO_K}.lokr_w2_b": (4, 256)},
            WeightKind.LYCORIS,
            Family.SDXL,
        ),
        ({"lora_unet_x.lora_mid.weight": (4, 4, 3, 3), "lora_unet_x.lora_down.weight": (4, 4, 1, 1)},
         WeightKind.LYCORIS, None),
        # inversions
        ({"emb_params": (8, 768)}, WeightKind.INVERSION, Family.SD1),
        ({"<word>": (1024,)}, WeightKind.INVERSION, Family.SD2),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, WeightKind.INVERSION, Family.SDXL),
        # controlnets of diffusers and of the original
        (
            {
                "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
                "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
            },
            WeightKind.CONTROLNET,
            Family.SD1,
        ),
        (
            {
                "control_model.input_hint_block.0.weight": (16, 3, 3, 3),
                "control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
            },
            WeightKind.CONTROLNET,
            Family.SD2,
        ),
        # upscalers
        ({"conv_first.weight": (64, 3, 3, 3)}, WeightKind.UPSCALER, None),
        ({"params_ema.conv_first.weight": (64, 3, 3, 3)}, WeightKind.UPSCALER, None),
        ({"model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)}, WeightKind.UPSCALER, None),
        # none of ours
        ({}, None, None),
        ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (4608, 1536)}, None, None),
        ({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, None, None),
        ({"features.0.weight": (64, 3, 11, 11), "features.0.bias": (64,)}, None, None),
    ],
)  # fmt: skip
def test_kind_and_family_come_from_the_tensors(
    shapes: dict[str, tuple[int, ...]], kind: WeightKind | None, family: Family | None
) -> None:
    found = header(shapes)
    assert kind_of(found) is kind
    if kind is not None:
        assert family_of(found, kind) is family


def test_an_inpainting_model_has_nine_channels() -> None:
    assert in_channels(header(SD1)) == 4
    assert in_channels(header({UNET + "input_blocks.0.0.weight": (320, 9, 3, 3)})) == 9


@pytest.mark.parametrize(
    ("shapes", "metadata", "expected"),
    [
        (SD1, {}, "epsilon"),
        (XL, {}, "epsilon"),
        ({**XL, "v_pred": ()}, {}, "v_prediction"),
        (SD2, {}, None),
        ({**SD2, UNET + "input_blocks.0.0.weight": (320, 9, 3, 3)}, {}, "epsilon"),
        (SD2, {"modelspec__prediction_type": "v"}, "v_prediction"),
        (SD2, {"modelspec__prediction_type": "epsilon"}, "epsilon"),
        (SD1, {"ss_v_parameterization": "True"}, "v_prediction"),
    ],
)
def test_what_the_unet_predicts(
    shapes: dict[str, tuple[int, ...]], metadata: dict[str, str], expected: str | None
) -> None:
    found = header(shapes, **metadata)
    assert prediction_of(found, family_of(found, WeightKind.CHECKPOINT)) == expected
