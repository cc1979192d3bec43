"""Random networks of Stable Diffusion 1.5 and SDXL at their real size, made where they run, in seconds.

How fast a network is does not depend on its weights. `tiny` gives the same layers at the least width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..contracts.protocols import LoadedModel

__all__ = ["SIZES_PX", "random_model"]

SIZES_PX = {"sd15": 512, "sdxl": 1024}
_SD15: Mapping[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_SDXL: Mapping[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,  # 1280 of the text, six numbers of 256
}
_NARROW: Mapping[str, Mapping[str, Any]] = {
    "sd15": {"block_out_channels": (32, 32, 64, 64), "layers_per_block": 1, "cross_attention_dim": 32},
    "sdxl": {
        "block_out_channels": (32, 32, 64),
        "layers_per_block": 1,
        "transformer_layers_per_block": (1, 1, 1),
        "attention_head_dim": (1, 1, 2),
        "cross_attention_dim": 64,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 80,
    },
}
_VAE: Mapping[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
}
_NARROW_VAE: Mapping[str, Any] = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
# Width, layers, heads and width of the projection of each text encoder.
_TEXTS = {"sd15": ((768, 12, 12, 0),), "sdxl": ((768, 12, 12, 0), (1280, 32, 20, 1280))}
_NARROW_TEXTS = {"sd15": ((32, 1, 1, 0),), "sdxl": ((32, 2, 1, 0), (32, 2, 1, 32))}


def random_model(
    kind: str, device: str, dtype: torch.dtype, *, tiny: bool = False, channels: int = 4, texts: bool = False
) -> LoadedModel:
    """Give UNet and VAE of `sd15` or `sdxl` with seeded random weights, with `texts` the text encoders, too.

    `channels` are what the UNet takes: 9 for one that fills masks. There are no tokenizers.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from ..contracts.models import Family, ModelSpec, Role, WeightFile, WeightKind
    from ..contracts.protocols import LoadedModel

    config = {"sd15": _SD15, "sdxl": _SDXL}[kind]
    family = {"sd15": Family.SD1, "sdxl": Family.SDXL}[kind]
    cuda = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda), torch.device(device):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            **{**config, **(_NARROW[kind] if tiny else {}), "in_channels": channels, "out_channels": 4}
        )
        vae = AutoencoderKL(**{**_VAE, **(_NARROW_VAE if tiny else {})}, sample_size=SIZES_PX[kind])
        encoders = tuple(_text_encoders(kind, tiny=tiny)) if texts else ()
    for encoder in encoders:
        encoder.to(dtype=dtype).eval().requires_grad_(requires_grad=False)
    for network in (unet, vae):
        network.to(dtype=dtype, memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)
    weights = WeightFile(path=f"random-{kind}", kind=WeightKind.DIFFUSERS, family=family, name=kind)
    return LoadedModel(
        spec=ModelSpec(role=Role.BASE, weights=weights),
        unet=unet, vae=vae, text_encoders=encoders, tokenizers=(), scheduler_config={}, options={},
    )  # fmt: skip


def _text_encoders(kind: str, *, tiny: bool) -> Iterator[Any]:
    """Give CLIP's text encoder, of SDXL also OpenCLIP's, which ends in a projection."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    for width, layers, heads, projected in (_NARROW_TEXTS if tiny else _TEXTS)[kind]:
        config = CLIPTextConfig(
            vocab_size=49408, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
            num_attention_heads=heads, hidden_act="gelu" if projected else "quick_gelu",
            projection_dim=projected or width, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
        )  # fmt: skip
        yield (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)
