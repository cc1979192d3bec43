"""Models for the tests of graphs: loaded as the host loads them, and one that has everything at the least size."""

from __future__ import annotations

from pathlib import Path

import torch
from stretto.host import Family, ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.components import settle
from stretto.plugins.loaders.folder import FolderLoader

# Other lengths than those that graphs are traced at, one of them no multiple of anything.
SIZES = (
    {"batch": 1, "height": 8, "width": 8, "tokens": 77},
    {"batch": 3, "height": 11, "width": 14, "tokens": 154},
)


def load(folder: Path, family: Family, precision: Precision = Precision.FLOAT32) -> LoadedModel:
    """Load a folder in diffusers' layout."""
    weights = WeightFile(path=str(folder), kind=WeightKind.DIFFUSERS, family=family)
    return settle(FolderLoader().load(ModelSpec(role=Role.BASE, weights=weights), precision, "cpu"))


def everything() -> LoadedModel:
    """Give a UNet that halves once, and takes 9 channels and what SDXL is told, with nothing beside it."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=9,
            out_channels=4,
            layers_per_block=1,
            norm_num_groups=8,
            block_out_channels=[16, 16],
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
            attention_head_dim=[1, 1],
            cross_attention_dim=24,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        )
    weights = WeightFile(path="none", kind=WeightKind.UNET, family=Family.SDXL)
    spec = ModelSpec(role=Role.BASE, weights=weights)
    nothing = {"text_encoders": (), "tokenizers": (), "scheduler_config": {}, "options": {}}
    return settle(LoadedModel(spec=spec, unet=unet, vae=None, **nothing))
