"""Loads a UNet that comes alone, with the other parts of the model that it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import LoadedModel, ModelSpec, Precision, WeightFile, WeightKind, WeightsError

from .folder import FolderLoader
from .networks import Target, make_unet
from .reading import read_json, read_tensors, weight_files
from .single import SingleFileLoader

if TYPE_CHECKING:
    import torch

__all__ = ["UnetLoader"]


class UnetLoader:
    """Gives the model of `parts_from` with another UNet; parts are loaded anew, never shared."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is a UNet alone, and it is known whose parts it has."""
        return file.kind is WeightKind.UNET and file.parts_from is not None

    def load(self, spec: ModelSpec, precision: Precision, device: str) -> LoadedModel:
        """Load it; raises WeightsError naming the file that is missing, broken or for another model."""
        parts = spec.weights.parts_from
        loader = next(
            (one for one in (FolderLoader(), SingleFileLoader()) if parts and one.accepts(parts)), None
        )
        if parts is None or loader is None:
            raise WeightsError(
                f"{spec.weights.path} is a UNet alone, and no whole model is named for its other parts"
            )
        path = Path(spec.weights.path)
        config = read_json(path / "config.json")
        model = loader.load(replace(spec, weights=parts), precision, device)
        _check_fits(config, model, path)
        tensors: dict[str, torch.Tensor] = {}
        for file in weight_files(path):
            tensors |= read_tensors(file)
        target = Target(precision=precision, device=device, path=path)
        return replace(model, spec=spec, unet=make_unet(config, tensors, target))


def _check_fits(config: dict[str, Any], model: LoadedModel, path: Path) -> None:
    """Compare what a UNet listens to and draws with what the model's other parts say and show."""
    wanted = {
        "cross_attention_dim": model.unet.config.cross_attention_dim,
        "out_channels": model.vae.config.latent_channels,
    }
    for name, value in wanted.items():
        if config.get(name) != value:
            raise WeightsError(
                f"{path} is a UNet with {name} {config.get(name)}, and the other parts of "
                f"{model.spec.weights.path} go with {value}; its plugin must name the model that it was trained with"
            )
