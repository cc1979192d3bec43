"""Tiny random models in diffusers' layout: seeded, a few megabytes, built in seconds without a download.

They have every part of the real ones (layers, heads of 64 channels, groups of 32, the VAE's factor
of 8) at the least width, so what runs on them is the code that runs on the real ones.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .layout import make_ldm_checkpoint

__all__ = [
    "make_ldm_checkpoint",
    "make_tiny_inpainter",
    "make_tiny_refiner",
    "make_tiny_sd1",
    "make_tiny_sd2",
    "make_tiny_sdxl",
    "make_tiny_sdxl_inpainter",
    "write_tokenizer",
]

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
# Words that the tiny tokenizer keeps whole; all else falls apart into bytes.
WORDS = ("a", "an", "the", "of", "and", "on", "photo", "red", "blue", "cat", "dog", "circle", "left", "right")

TEXT_CLASSES = {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"}
SCHEDULER: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "trained_betas": None,
}
UNET: Mapping[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 32,
    "act_fn": "silu",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
}
VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [32, 32, 32, 64],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 64,
    "scaling_factor": 0.18215,
}
CLIP_L: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 1,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 64,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
# A different width than CLIP_L's: loaders that tell the two of SDXL apart by shape must be able to.
CLIP_G: Mapping[str, Any] = {
    **CLIP_L,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 2,
    "hidden_act": "gelu",
    "projection_dim": 128,
}
XL_UNET: Mapping[str, Any] = {
    **UNET,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 32,
    "attention_head_dim": [1, 1],
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What tells one tiny model from another."""

    pipeline: str
    unet: Mapping[str, Any]
    texts: Mapping[str, Mapping[str, Any]]
    prediction_type: str = "epsilon"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_xl(self) -> bool:
        return "text_encoder_2" in self.texts

    def scheduler(self) -> dict[str, Any]:
        if self.is_xl:
            spacing = {
                "timestep_spacing": "leading",
                "interpolation_type": "linear",
                "use_karras_sigmas": False,
            }
            return {
                "_class_name": "EulerDiscreteScheduler",
                **SCHEDULER,
                "prediction_type": "epsilon",
                **spacing,
            }
        return {"_class_name": "PNDMScheduler", **SCHEDULER, "prediction_type": self.prediction_type}

    def index(self) -> dict[str, Any]:
        index: dict[str, Any] = {
            "_class_name": self.pipeline,
            "_diffusers_version": "0.42.1",
            **self.options,
            "feature_extractor": [None, None],
            "image_encoder": [None, None],
            "scheduler": ["diffusers", self.scheduler()["_class_name"]],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        }
        if not self.is_xl:
            index.update(safety_checker=[None, None], requires_safety_checker=False)
        for part, name in TEXT_CLASSES.items() if self.is_xl else [("text_encoder", "CLIPTextModel")]:
            present = part in self.texts
            index[part] = ["transformers", name] if present else [None, None]
            index[part.replace("text_encoder", "tokenizer")] = (
                ["transformers", "CLIPTokenizer"] if present else [None, None]
            )
        return index


def make_tiny_sd1(folder: Path, *, seed: int = 0) -> Path:
    """Write a Stable Diffusion 1.x model (native side 64 px) into `folder`, unless it is there."""
    unet = _cross_first([32, 64], cross_attention_dim=64, attention_head_dim=8)
    recipe = _Recipe(pipeline="StableDiffusionPipeline", unet=unet, texts={"text_encoder": CLIP_L})
    return _write(folder, seed, recipe)


def make_tiny_inpainter(folder: Path, *, seed: int = 4) -> Path:
    """Write a Stable Diffusion 1.x inpainting model, whose UNet takes 9 channels."""
    unet = _cross_first([32, 64], cross_attention_dim=64, attention_head_dim=8, in_channels=9)
    recipe = _Recipe(pipeline="StableDiffusionInpaintPipeline", unet=unet, texts={"text_encoder": CLIP_L})
    return _write(folder, seed, recipe)


def make_tiny_sd2(folder: Path, *, seed: int = 1) -> Path:
    """Write a Stable Diffusion 2.x model: v-prediction, linear projections, OpenCLIP's activation."""
    unet = _cross_first(
        [64, 64], cross_attention_dim=64, attention_head_dim=[1, 1], use_linear_projection=True
    )
    recipe = _Recipe(
        pipeline="StableDiffusionPipeline",
        unet=unet,
        texts={"text_encoder": {**CLIP_L, "hidden_act": "gelu"}},
        prediction_type="v_prediction",
    )
    return _write(folder, seed, recipe)


def make_tiny_sdxl(folder: Path, *, seed: int = 2) -> Path:
    """Write an SDXL base model, with two text encoders of 64 and 128 channels."""
    recipe = _Recipe(
        pipeline="StableDiffusionXLPipeline",
        unet={**XL_UNET, "cross_attention_dim": 192, "projection_class_embeddings_input_dim": 128 + 6 * 32},
        texts={"text_encoder": CLIP_L, "text_encoder_2": CLIP_G},
        options={"force_zeros_for_empty_prompt": True},
    )
    return _write(folder, seed, recipe)


def make_tiny_sdxl_inpainter(folder: Path, *, seed: int = 5) -> Path:
    """Write an SDXL inpainting model, whose UNet takes 9 channels."""
    recipe = _Recipe(
        pipeline="StableDiffusionXLInpaintPipeline",
        unet={
            **XL_UNET,
            "in_channels": 9,
            "cross_attention_dim": 192,
            "projection_class_embeddings_input_dim": 128 + 6 * 32,
        },
        texts={"text_encoder": CLIP_L, "text_encoder_2": CLIP_G},
        options={"force_zeros_for_empty_prompt": True},
    )
    return _write(folder, seed, recipe)


def make_tiny_refiner(folder: Path, *, seed: int = 3) -> Path:
    """Write an SDXL refiner: only the second text encoder, and an aesthetic score among its conditions."""
    unet = {
        **XL_UNET,
        "cross_attention_dim": 128,
        "projection_class_embeddings_input_dim": 128 + 5 * 32,
        "block_out_channels": [32, 64, 64],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [1, 1, 1],
        "transformer_layers_per_block": 2,
    }
    recipe = _Recipe(
        pipeline="StableDiffusionXLImg2ImgPipeline",
        unet=unet,
        texts={"text_encoder_2": CLIP_G},
        options={"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True},
    )
    return _write(folder, seed, recipe)


def write_tokenizer(folder: Path, *, pad_token: str = EOS) -> int:
    """Write a CLIPTokenizer that knows bytes and a few words; gives the size of its vocabulary."""
    alphabet = _byte_alphabet()
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        symbols = [*word[:-1], word[-1] + "</w>"]
        while len(symbols) > 1:
            if (symbols[0], symbols[1]) not in merges:
                merges.append((symbols[0], symbols[1]))
            symbols[:2] = [symbols[0] + symbols[1]]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *(first + last for first, last in merges)]
    vocabulary = {token: number for number, token in enumerate([*dict.fromkeys(tokens), BOS, EOS])}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(f"{first} {last}" for first, last in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": EOS,
        "pad_token": pad_token,
        "do_lower_case": True,
        "errors": "replace",
    }
    _write_json(folder / "tokenizer_config.json", settings)
    return len(vocabulary)


def _byte_alphabet() -> list[str]:
    """Give a printable letter for each of the 256 bytes, in the order of GPT-2's byte-level BPE."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def _cross_first(widths: Sequence[int], **others: Any) -> dict[str, Any]:
    """Give the UNet of SD 1.x and 2.x: attention in all blocks but the deepest."""
    count = len(widths)
    return {
        **UNET,
        "block_out_channels": list(widths),
        "down_block_types": ["CrossAttnDownBlock2D"] * (count - 1) + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (count - 1),
        **others,
    }


def _write(folder: Path, seed: int, recipe: _Recipe) -> Path:
    """Build every part in a folder beside the final one, and rename it when it is whole."""
    if (folder / "model_index.json").is_file():
        return folder
    building = folder.with_name(folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    _save_networks(building, seed, recipe)
    (building / "scheduler").mkdir()
    _write_json(building / "scheduler" / "scheduler_config.json", recipe.scheduler())
    _write_json(building / "model_index.json", recipe.index())
    building.replace(folder)
    return folder


def _save_networks(folder: Path, seed: int, recipe: _Recipe) -> None:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    vae = {**VAE, "scaling_factor": 0.13025, "force_upcast": True} if recipe.is_xl else VAE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        UNet2DConditionModel(**recipe.unet).save_pretrained(folder / "unet")
        AutoencoderKL(**vae).save_pretrained(folder / "vae")
        for part, text in recipe.texts.items():
            tokenizer = folder / part.replace("text_encoder", "tokenizer")
            vocab_size = write_tokenizer(tokenizer, pad_token="!" if part == "text_encoder_2" else EOS)
            config = CLIPTextConfig(**text, vocab_size=vocab_size)
            classes[part](config).save_pretrained(folder / part)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
