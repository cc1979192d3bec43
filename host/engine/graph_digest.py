"""What tells two graphs apart, without exporting them: settings, files of weights, and what is merged into them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..contracts.engines import Component
from ..contracts.models import Patch, WeightFile, WeightKind
from ..contracts.protocols import LoadedModel
from .graph_ports import network_of

__all__ = ["EXPORT_VERSION", "architecture_digest", "graph_digest"]

EXPORT_VERSION = 1  # of what `onnx_export` writes; engines of another one are built anew

_VAE = {Component.VAE_ENCODER, Component.VAE_DECODER}
_TEXT = {Component.TEXT_ENCODER, Component.TEXT_ENCODER_2}
_FOLDERS = {
    Component.UNET: "unet",
    Component.CONTROLLED_UNET: "unet",
    Component.VAE_ENCODER: "vae",
    Component.VAE_DECODER: "vae",
    Component.TEXT_ENCODER: "text_encoder",
    Component.TEXT_ENCODER_2: "text_encoder_2",
}


def graph_digest(model: LoadedModel, component: Component, digest_of: Callable[[WeightFile], str]) -> str:
    """Give 64 hexadecimal digits that change with whatever changes what the component computes.

    These are the exporter's version, the network's settings, the content of the files that its weights come
    from, and of the patches that touch it, with their weights and in their order. `digest_of` reads a file,
    or a folder's files; names and paths do not count.
    """
    said = {
        **_architecture(model, component),
        "weights": [digest_of(file) for file in _files(model, component)],
        "patches": [
            [str(patch.kind), digest_of(patch.file), patch.weight]
            for patch in model.patches
            if patch.weight and _touches(patch, component)
        ],
    }
    return _digest(said)


def architecture_digest(model: LoadedModel, component: Component) -> str:
    """Give 64 hexadecimal digits that are the same for two graphs which differ in weights alone."""
    return _digest(_architecture(model, component))


def _architecture(model: LoadedModel, component: Component) -> dict[str, Any]:
    return {
        "version": EXPORT_VERSION,
        "component": str(component),
        "settings": _settings(network_of(model, component)),
    }


def _digest(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _settings(network: Any) -> dict[str, Any]:
    """Give what decides the architecture: no paths and no library's version."""
    config = network.config
    plain = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    versions = ("transformers_version", "dtype", "torch_dtype")
    return {key: value for key, value in plain.items() if not key.startswith("_") and key not in versions}


def _files(model: LoadedModel, component: Component) -> Iterator[WeightFile]:
    """Give the files that a component's weights come from, folders as narrow as may be."""
    spec = model.spec
    if component in _VAE and spec.vae is not None:
        yield spec.vae
    else:
        yield _part(spec.weights, component)
    if spec.difference is not None:
        yield _part(spec.difference.model, component)
        yield _part(spec.difference.base, component)


def _part(file: WeightFile, component: Component) -> WeightFile:
    if file.parts_from is not None and component in _VAE | _TEXT:
        return _part(file.parts_from, component)
    folder = Path(file.path) / _FOLDERS.get(component, "")
    if component not in _FOLDERS or not folder.is_dir():
        return file
    # what is known of the whole is not true of a part
    return replace(file, path=str(folder), fingerprint="", sha256="", size_bytes=0)


def _touches(patch: Patch, component: Component) -> bool:
    """Say whether a patch may change a component: words are the text encoders', the rest may be the UNet's, too."""
    if component in _VAE or component is Component.CONTROLNET:
        return False
    return patch.kind is not WeightKind.INVERSION or component in _TEXT
