"""Our own plugins, held to the kit that their authors are held to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2  # noqa: F401 - it changes LD_LIBRARY_PATH when it is first imported
import pytest
from stretto.host import Family, Spec
from stretto.host.plugboard.registry import KINDS
from stretto.host.testing import Supplies, assert_conforms
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.hosts import opened_host
from stretto.host.testing.networks import make_tiny_esrgan, make_tiny_remover

from .detectors import WRITTEN

# Detectors whose random weights take seconds to write; tests/plugins/test_controls.py opens them.
HEAVY = ("depth", "normal", "pose")


# Its C++ compiler takes half a minute; tests/plugins/compilers/test_torch_compile.py builds the same network.
SLOW = ("torch_compile",)


def _offered() -> list[Any]:
    with TemporaryDirectory() as folder, opened_host(Path(folder)) as host:
        return [
            pytest.param(kind, name, marks=[pytest.mark.slow] if name in SLOW else [])
            for kind in KINDS
            for name in host.offers(kind)
        ]


@pytest.fixture(scope="module")
def supplies() -> Iterator[Supplies]:
    with Supplies() as made:
        yield made


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


@pytest.mark.parametrize(("kind", "name"), _offered())
def test_a_built_in_offer_conforms(
    kind: str, name: str, supplies: Supplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TORCHINDUCTOR_VEC_ISA_OK", "1"
    )  # inductor tries every instruction set for half a minute
    spec: Spec = supplies.host.offer(kind, name)
    report = assert_conforms(spec, files=files_of(kind, spec, supplies), supplies=supplies)
    assert len(report.rows) > 3
    assert any(row.seconds > 0 for row in report.rows)
    json.dumps([row.to_json() for row in report.rows])
