"""Tiny random safety checkers in the layout that Stable Diffusion's is published in, strict as a test needs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

__all__ = ["make_tiny_safety_checker"]

WIDTH = 32
TEXT = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": WIDTH}
VISION = {**TEXT, "image_size": 224, "patch_size": 56, "hidden_act": "quick_gelu"}
CONFIG: dict[str, Any] = {
    "model_type": "clip",
    "projection_dim": WIDTH,
    "text_config": {**TEXT, "vocab_size": 49408},
    "vision_config": VISION,
}
PROCESSOR = {
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_processor_type": "CLIPImageProcessor",
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_resize": True,
    "crop_size": 224,
    "size": 224,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def make_tiny_safety_checker(folder: Path, *, threshold: float, seed: int = 6) -> Path:
    """Write a checker into `folder`, in place of one that is there; give the folder.

    A picture is flagged when its embedding is nearer than `threshold` to one of 17 random concepts, by
    the cosine: -1 flags every picture and 1 none. Tensors have the names of published checkpoints.
    """
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from safetensors.torch import save_file
    from transformers import CLIPConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        checker = StableDiffusionSafetyChecker(CLIPConfig(**CONFIG))
        for concepts in (checker.concept_embeds, checker.special_care_embeds):
            concepts.copy_(torch.randn(concepts.shape))
    checker.concept_embeds_weights.fill_(threshold)
    checker.special_care_embeds_weights.fill_(1.0)
    tensors = {
        f"vision_model.{name}" if name.startswith("vision_model.") else name: value.contiguous()
        for name, value in checker.state_dict().items()
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    for name, value in (("config.json", CONFIG), ("preprocessor_config.json", PROCESSOR)):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    return folder
