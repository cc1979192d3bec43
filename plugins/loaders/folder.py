"""Loads a model from a folder in diffusers' layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import LoadedModel, ModelSpec, Precision, WeightFile, WeightKind, WeightsError

from .layout import clip_names, vae_names
from .lone import load_vae
from .networks import Target, make_text_encoder, make_unet, make_vae, text_encoder_names
from .reading import read_json, read_tensors, weight_files
from .words import folder_tokenizer

if TYPE_CHECKING:
    import torch

__all__ = ["FolderLoader"]

CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
TEXTS = ("text_encoder", "text_encoder_2")
PROJECTING = "CLIPTextModelWithProjection"


class FolderLoader:
    """Reads settings and weights of each part straight from the files; knows no pipeline."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is a folder of diffusers."""
        return file.kind is WeightKind.DIFFUSERS

    def load(self, spec: ModelSpec, precision: Precision, device: str) -> LoadedModel:
        """Load all parts; raises WeightsError naming the file that is missing or broken."""
        root = Path(spec.weights.path)
        index = read_json(root / "model_index.json")
        _check_classes(root, index)
        target = Target(precision=precision, device=device, path=root)
        texts = [part for part in TEXTS if _class(index, part)]
        vae_settings = read_json(root / "vae" / "config.json")
        return LoadedModel(
            spec=spec,
            unet=make_unet(
                read_json(root / "unet" / "config.json"), _tensors(root / "unet"), _at(target, "unet")
            ),
            vae=load_vae(spec.vae, vae_settings, target)
            if spec.vae
            else make_vae(vae_settings, vae_names(_tensors(root / "vae")), _at(target, "vae")),
            text_encoders=tuple(_text_encoder(root / part, _class(index, part), target) for part in texts),
            tokenizers=tuple(
                folder_tokenizer(root / part.replace("text_encoder", "tokenizer")) for part in texts
            ),
            scheduler_config=read_json(root / "scheduler" / "scheduler_config.json"),
            options=options(index),
        )


def options(index: dict[str, Any]) -> dict[str, Any]:
    """Give what a model_index.json says beside naming classes."""
    return {
        key: value for key, value in index.items() if not key.startswith("_") and not isinstance(value, list)
    }


def _class(index: dict[str, Any], part: str) -> str:
    entry = index.get(part)
    return str(entry[1]) if isinstance(entry, list) and entry[-1] else ""


def _check_classes(root: Path, index: dict[str, Any]) -> None:
    for part, known in CLASSES.items():
        found = _class(index, part)
        if found != known:
            raise WeightsError(
                f"{root} has '{found or 'nothing'}' for its {part}, and only {known} is loaded; "
                "a plugin with a loader of its own can add it"
            )
    if not any(_class(index, part) for part in TEXTS):
        raise WeightsError(f"{root} names no text encoder in model_index.json; copy it again from its source")


def _at(target: Target, part: str) -> Target:
    return Target(precision=target.precision, device=target.device, path=target.path / part)


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in weight_files(folder):
        tensors |= read_tensors(file)
    return tensors


def _text_encoder(folder: Path, class_name: str, target: Target) -> Any:
    config = {**read_json(folder / "config.json"), "architectures": [class_name]}
    tensors = text_encoder_names(clip_names(_tensors(folder)), has_projection=class_name == PROJECTING)
    return make_text_encoder(config, tensors, _at(target, folder.name))
