"""Loads a model from one file of the original layout: SD 1.x, SD 2.x, SDXL, the refiner, inpainting.

Settings are a family's own (`plugins/configs/`), then what the tensors' shapes say, then what a folder
`<stem>.config` beside the file says (diffusers' layout, any part of it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import Family, LoadedModel, ModelSpec, Precision, WeightFile, WeightKind, WeightsError

from .folder import options
from .layout import below, clip_names, open_clip_names, unet_names
from .lone import load_vae, make_vae_from
from .networks import Target, make_text_encoder, make_unet
from .prediction import predicts_noise
from .reading import blaming, read_json, read_tensors
from .shapes import text_config, unet_config, with_time_ids
from .words import EOS, clip_tokenizer, folder_tokenizer

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = ["SingleFileLoader"]

CONFIGS = Path(__file__).parent.parent / "configs"
UNET = "model.diffusion_model."
CONV_IN = UNET + "input_blocks.0.0.weight"
VAE = "first_stage_model."
# where each family keeps its text encoders, under diffusers' names of the parts
CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.", "cond_stage_model.")
OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.1.model.", "conditioner.embedders.0.model.")
TEXTS = {
    Family.SD1: ("text_encoder",),
    Family.SD2: ("text_encoder",),
    Family.SDXL: ("text_encoder", "text_encoder_2"),
    Family.SDXL_REFINER: ("text_encoder_2",),
}
LATENT_CHANNELS = 4


class SingleFileLoader:
    """Renames the tensors of a checkpoint and sizes the networks by them."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is a checkpoint in one file."""
        return file.kind is WeightKind.CHECKPOINT

    def load(self, spec: ModelSpec, precision: Precision, device: str) -> LoadedModel:
        """Load all parts; raises WeightsError naming the file and the part that is missing or broken."""
        target = Target(precision=precision, device=device, path=Path(spec.weights.path))
        tensors = read_tensors(target.path)
        settings = _Settings(
            family=spec.weights.family or _family(tensors, target.path), companion=spec.weights.companion
        )
        texts = TEXTS[settings.family]
        text_encoders = tuple(_text_encoder(part, tensors, settings, target) for part in texts)
        unet = _unet(tensors, settings, text_encoders[-1].config.projection_dim, target)
        tokenizers = tuple(_tokenizer(part, settings) for part in texts)
        for encoder, tokenizer in zip(text_encoders, tokenizers, strict=True):
            _check_words(encoder, tokenizer, spec.weights)
        return LoadedModel(
            spec=spec,
            unet=unet,
            vae=_vae(tensors, settings, spec, target),
            text_encoders=text_encoders,
            tokenizers=tokenizers,
            scheduler_config=_scheduler(
                spec.weights, tensors, settings, lambda: predicts_noise(unet, text_encoders[0], tokenizers[0])
            ),
            options=options(settings.of("model_index.json")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """A family's settings, and those that stand beside the file."""

    family: Family
    companion: Path

    def standard(self, name: str) -> dict[str, Any]:
        return read_json(CONFIGS / self.family.value / name)

    def stated(self, name: str) -> dict[str, Any]:
        path = self.companion / name
        return read_json(path) if path.is_file() else {}

    def of(self, name: str) -> dict[str, Any]:
        return {**self.standard(name), **self.stated(name)}


def _family(tensors: Tensors, path: Path) -> Family:
    """Tell the family by its parts: SDXL's added conditions, and whose text encoder it has."""
    if CONV_IN not in tensors:
        raise WeightsError(f"{path} holds no UNet of Stable Diffusion; known are {', '.join(Family)}")
    if UNET + "label_emb.0.0.weight" in tensors:
        is_base = any(key.startswith("conditioner.embedders.1.") for key in tensors)
        return Family.SDXL if is_base else Family.SDXL_REFINER
    is_second = any(key.startswith("cond_stage_model.model.") for key in tensors)
    return Family.SD2 if is_second else Family.SD1


def _unet(tensors: Tensors, settings: _Settings, pooled: int, target: Target) -> Any:
    name = "unet/config.json"
    renamed = unet_names(below(tensors, UNET))
    with blaming(target.path):
        config = unet_config(renamed, settings.standard(name))
        if "projection_class_embeddings_input_dim" in config:
            config = with_time_ids(config, pooled, is_refiner=settings.family is Family.SDXL_REFINER)
    return make_unet({**config, **settings.stated(name)}, renamed, target)


def _vae(tensors: Tensors, settings: _Settings, spec: ModelSpec, target: Target) -> Any:
    name = "vae/config.json"
    if spec.vae is not None:
        return load_vae(spec.vae, settings.of(name), target)
    found = below(tensors, VAE)
    if not found:
        raise WeightsError(f"{target.path} holds no VAE; name one with the parameter `vae`")
    return make_vae_from(found, settings.standard(name), settings.stated(name), target)


def _text_encoder(part: str, tensors: Tensors, settings: _Settings, target: Target) -> Any:
    name = f"{part}/config.json"
    is_open_clip = part == "text_encoder_2" or settings.family is Family.SD2
    found = below(tensors, *(OPEN_CLIP if is_open_clip else CLIP))
    if not found:
        raise WeightsError(
            f"{target.path} holds no text encoder ({part}); use a checkpoint with all of its parts"
        )
    with blaming(target.path):
        if is_open_clip:
            layers = _layers_read(found, settings) if settings.family is Family.SD2 else None
            renamed = open_clip_names(found, layers=layers)
        else:
            renamed = clip_names(found)
        config = text_config(renamed, settings.standard(name))
    return make_text_encoder({**config, **settings.stated(name)}, renamed, target)


def _layers_read(tensors: Tensors, settings: _Settings) -> int:
    """Give how many layers SD 2.x reads: all but the last, unless that is pruned away already."""
    name = "text_encoder/config.json"
    stated = settings.stated(name).get("num_hidden_layers")
    if stated is not None:
        return int(stated)
    numbers = [int(key.split(".")[2]) for key in tensors if key.startswith("transformer.resblocks.")]
    return min(max(numbers), int(settings.standard(name)["num_hidden_layers"]))


def _tokenizer(part: str, settings: _Settings) -> Any:
    name = part.replace("text_encoder", "tokenizer")
    if (settings.companion / name).is_dir():
        return folder_tokenizer(settings.companion / name)
    # OpenCLIP pads with zeros, and 0 is CLIP's number for "!"; SD 2.x's tokenizer says so too
    is_open_clip = part == "text_encoder_2" or settings.family is Family.SD2
    return clip_tokenizer(pad_token="!" if is_open_clip else EOS)


def _check_words(encoder: Any, tokenizer: Any, file: WeightFile) -> None:
    if len(tokenizer) > encoder.config.vocab_size:
        raise WeightsError(
            f"{file.path} knows {encoder.config.vocab_size} words, and its tokenizer {len(tokenizer)}; put the "
            f"tokenizer that belongs to it into {file.companion / 'tokenizer'}"
        )


def _scheduler(file: WeightFile, tensors: Tensors, settings: _Settings, measure: Any) -> dict[str, Any]:
    """Give the scheduler's settings, with what the UNet predicts: stated, or marked, or measured."""
    name = "scheduler/scheduler_config.json"
    if stated := settings.stated(name):
        return stated
    config = settings.standard(name)
    if file.prediction_type is not None:
        config["prediction_type"] = file.prediction_type
    elif "v_pred" in tensors:
        config["prediction_type"] = "v_prediction"
    elif settings.family is Family.SD2 and tensors[CONV_IN].shape[1] == LATENT_CHANNELS:
        config["prediction_type"] = "epsilon" if measure() else "v_prediction"
    if "ztsnr" in tensors:
        config.update(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    return config
