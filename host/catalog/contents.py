"""Tells from the names and shapes of tensors what a file of weights is for, never from the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..contracts.models import Family, WeightKind
from .header import Header

__all__ = ["context_family", "family_of", "in_channels", "kind_of", "prediction_of"]

# Channels of the text that cross-attention reads.
CONTEXTS: Mapping[int, Family] = {
    768: Family.SD1,
    1024: Family.SD2,
    2048: Family.SDXL,
    1280: Family.SDXL_REFINER,
}
UNET = "model.diffusion_model."
CONV_IN = "input_blocks.0.0.weight"
VAE_PREFIXES = ("", "first_stage_model.", "vae.")
LYCORIS = (
    ".hada_w1_a", ".lokr_w1", ".lokr_w1_a", ".lora_mid.weight", ".oft_blocks", ".oft_diag", ".on_input",
    ".b1.weight",
)  # fmt: skip
LORA = (
    ".lora_down.weight", ".lora_A.weight", ".lora.down.weight", ".lora_linear_layer.down.weight",
    ".lora_A.default.weight", "_lora.down.weight",
)  # fmt: skip
CONTROLNET = ("control_model.", "controlnet_cond_embedding.", "input_hint_block.", "lora_controlnet")
UPSCALER = re.compile(
    r"(params(_ema)?\.)?(conv_first\.weight|model\.1\.sub\.0\.|body\.0\.(rdb1|weight)|RRDB_trunk\.0\.)"
)
INPAINTING_CHANNELS = 9
MATRIX = 2
CONVOLUTION = 4
PROMPT_TOKENS = 77


def kind_of(header: Header) -> WeightKind | None:
    """Say what the tensors are for; None when they are of no kind that is known here."""
    # In this order: controlnets hold a UNet's half, LyCORIS files may hold plain LoRA layers too.
    judged = {
        WeightKind.CHECKPOINT: len(header.shapes.get(UNET + CONV_IN, ())) == CONVOLUTION,
        WeightKind.CONTROLNET: header.starts(*CONTROLNET),
        WeightKind.LYCORIS: header.ends(*LYCORIS),
        WeightKind.LORA: header.ends(*LORA),
        WeightKind.VAE: any(f"{prefix}decoder.conv_in.weight" in header.shapes for prefix in VAE_PREFIXES),
        WeightKind.UPSCALER: any(UPSCALER.match(name) for name in header.shapes),
        WeightKind.INVERSION: _is_inversion(header),
    }
    return next((kind for kind, is_it in judged.items() if is_it), None)


def family_of(header: Header, kind: WeightKind) -> Family | None:
    """Say which family the weights belong to; None where the shapes leave it open."""
    if kind is WeightKind.CHECKPOINT:
        return _checkpoint_family(header)
    if kind is WeightKind.INVERSION:
        return _inversion_family(header)
    if kind in (WeightKind.LORA, WeightKind.LYCORIS, WeightKind.CONTROLNET):
        return _change_family(header)
    return None


def in_channels(header: Header) -> int:
    """Give the UNet's input channels: 4 of latents, 9 with a mask and what it leaves visible."""
    return header.shapes[UNET + CONV_IN][1]


def prediction_of(header: Header, family: Family | None) -> str | None:
    """Say what a checkpoint's UNet predicts, as far as the header says it; None is left for the loader.

    The keys are Stability AI's modelspec, kohya's training record and the marker tensor of v-prediction
    SDXL. SD 2.x without any comes in both kinds, except for inpainting, which predicts noise.
    """
    stated = header.metadata.get("modelspec.prediction_type", "").lower()
    trained_on_v = header.metadata.get("ss_v_parameterization", "").lower() == "true"
    if stated.startswith("v") or trained_on_v or "v_pred" in header.shapes:
        return "v_prediction"
    if stated.startswith("eps") or family is not Family.SD2 or in_channels(header) == INPAINTING_CHANNELS:
        return "epsilon"
    return None


def context_family(channels: int) -> Family | None:
    """Give the family whose cross-attention reads text of so many channels."""
    return CONTEXTS.get(channels)


def _checkpoint_family(header: Header) -> Family | None:
    if UNET + "label_emb.0.0.weight" in header.shapes:
        if header.starts("conditioner.embedders.0.model."):
            return Family.SDXL_REFINER
        if header.starts("conditioner.embedders.1.model.", "conditioner.embedders.0.transformer."):
            return Family.SDXL
    elif header.starts("cond_stage_model.model."):
        return Family.SD2
    elif header.starts("cond_stage_model.transformer.", "cond_stage_model.text_model."):
        return Family.SD1
    return _change_family(header)


def _inversion_family(header: Header) -> Family | None:
    if "clip_g" in header.shapes:
        return Family.SDXL
    shape = next(iter(header.shapes.values()))
    return context_family(shape[-1]) if shape else None


def _change_family(header: Header) -> Family | None:
    """Judge by what cross-attention takes in, where the change touches it; else by names of SDXL's parts."""
    for name, channels in _contexts(header.shapes):
        if re.search(r"attn2[._]to_[kv]", name):
            return context_family(channels)
    if header.starts("lora_te2_", "text_encoder_2.", "lycoris_text_encoder_2_"):
        return Family.SDXL
    return None


def _contexts(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, int]]:
    """Give the input channels of each changed, or plain, linear layer."""
    plain = (
        ".lora_down.weight",
        ".lora_A.weight",
        ".lora.down.weight",
        ".hada_w1_b",
        ".to_k.weight",
        ".to_v.weight",
    )
    for name, shape in shapes.items():
        if len(shape) < MATRIX:
            continue
        if name.endswith(plain):
            yield name, shape[1]
        elif name.endswith((".lokr_w2", ".lokr_w2_b")):
            stem = name.rpartition(".")[0]
            first = shapes.get(f"{stem}.lokr_w1") or shapes.get(f"{stem}.lokr_w1_b")
            if first is not None and len(first) == MATRIX:
                yield name, first[1] * shape[1]


def _is_inversion(header: Header) -> bool:
    """Say whether all that is there is a word's vectors: (vectors, channels) under a name or two."""
    shapes = header.shapes
    if shapes.keys() & {"emb_params", "clip_l", "clip_g", "string_to_param.*"}:
        return True
    if not 0 < len(shapes) <= MATRIX or any(not 0 < len(shape) <= MATRIX for shape in shapes.values()):
        return False
    return all(shape[0] <= PROMPT_TOKENS or len(shape) < MATRIX for shape in shapes.values())
