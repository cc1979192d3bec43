"""Loads the safety checker of Stable Diffusion: diffusers' class over the files of one folder.

Newer transformers name its picture tower without the second `vision_model.` that published files have.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import LoadedModel, ModelSpec, Precision, WeightFile, WeightKind, WeightsError

from .networks import Target, make_safety_checker
from .reading import blaming, read_json, read_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

__all__ = ["SafetyCheckerLoader", "checker_names"]

TOWER = "vision_model."


class SafetyCheckerLoader:
    """Gives a model whose `unet` is the checker and whose one tokenizer is its image processor."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is a safety checker's."""
        return file.kind is WeightKind.SAFETY

    def load(self, spec: ModelSpec, precision: Precision, device: str) -> LoadedModel:
        """Load it; raises WeightsError naming the file that is missing or broken."""
        path = Path(spec.weights.path)
        target = Target(precision=precision, device=device, path=path)
        config = read_json(path.parent / "config.json")
        return LoadedModel(
            spec=spec,
            unet=make_safety_checker(config, checker_names(read_tensors(path)), target),
            vae=None,
            text_encoders=(),
            tokenizers=(_processor(path.parent),),
            scheduler_config={},
            options={},
        )


def checker_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename a checker's tensors to the names of the class; position numbers are made, not read."""
    named = {
        key.removeprefix(TOWER) if key.startswith(TOWER * 2) else key: value for key, value in tensors.items()
    }
    return {key: value for key, value in named.items() if not key.endswith("position_ids")}


def _processor(folder: Path) -> Any:
    from transformers import CLIPImageProcessor

    file = folder / "preprocessor_config.json"
    read_json(file)
    with blaming(file):
        try:
            return CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        except ImportError as error:
            raise WeightsError(f"{file} asks for a library that is not here: {error}") from error
