"""Tiny files under the names that the built-in offers have for their own, made on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stretto.host import Family
from stretto.host.testing import Supplies
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.networks import make_tiny_esrgan, make_tiny_remover

from .detectors import WRITTEN

# Detectors whose random weights take seconds to write; tests/plugins/test_controls.py opens them.
HEAVY = ("depth", "normal", "pose")


def files_of(kind: str, spec: Any, supplies: Supplies) -> Mapping[str, Path]:
    """Give tiny files under the names that the offer has for its own."""
    folder = supplies.root / kind / spec.name
    match kind:
        case "upscalers" if spec.open is not None:
            name = (*spec.files, "tiny.safetensors")[0]
            return {name: make_tiny_esrgan(folder / name)}
        case "background_removers":
            side_px = 1024 if spec.name.startswith(("isnet", "birefnet")) else 320
            return {spec.files[0]: make_tiny_remover(folder / spec.files[0], side_px=side_px)}
        case "controlnets":
            made = {
                family: make_tiny_controlnet(supplies.root / f"controlnet-{family}", supplies.tiny(family))
                for family in (Family.SD1, Family.SDXL)
            }
            return {names[0]: made[family] for family, names in spec.weights.items()}
        case "preprocessors" if spec.files and spec.name not in HEAVY:
            folder.mkdir(parents=True)
            WRITTEN[spec.name](folder)
            return {name: folder / name for name in spec.files}
        case "vaes":
            return {spec.files[0]: supplies.tiny(spec.families[0]) / "vae"}
    return {}
