"""pytest fixtures over tiny models; `pytest_plugins = ["stretto.host.testing.fixtures"]` turns them on."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from .tiny import (
    make_tiny_inpainter,
    make_tiny_refiner,
    make_tiny_sd1,
    make_tiny_sd2,
    make_tiny_sdxl,
    make_tiny_sdxl_inpainter,
)

__all__ = [
    "starter_path",
    "tiny_inpainter",
    "tiny_refiner",
    "tiny_sd1",
    "tiny_sd2",
    "tiny_sdxl",
    "tiny_sdxl_inpainter",
]


@pytest.fixture(scope="session")
def tiny_sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SD 1.x model, 64 px."""
    return make_tiny_sd1(tmp_path_factory.mktemp("tiny") / "sd1")


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SD 2.x model with v-prediction, 64 px."""
    return make_tiny_sd2(tmp_path_factory.mktemp("tiny") / "sd2")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SDXL base model, 64 px."""
    return make_tiny_sdxl(tmp_path_factory.mktemp("tiny") / "sdxl")


@pytest.fixture(scope="session")
def tiny_refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SDXL refiner, 64 px."""
    return make_tiny_refiner(tmp_path_factory.mktemp("tiny") / "refiner")


@pytest.fixture(scope="session")
def tiny_inpainter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SD 1.x inpainting model, 64 px."""
    return make_tiny_inpainter(tmp_path_factory.mktemp("tiny") / "inpainter")


@pytest.fixture(scope="session")
def tiny_sdxl_inpainter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SDXL inpainting model, 64 px."""
    return make_tiny_sdxl_inpainter(tmp_path_factory.mktemp("tiny") / "sdxl-inpainter")


@pytest.fixture(scope="session")
def starter_path() -> Path:
    """Give the folder of the model that ships; skips where its weights are not there."""
    spec = find_spec("stretto.plugins.starter")
    assert spec is not None  # noqa: S101 - the built-in plugins are always importable
    assert spec.origin is not None  # noqa: S101 - and are packages
    folder = Path(spec.origin).parent / "model"
    if not (folder / "model_index.json").is_file():
        pytest.skip(f"no starter model in {folder}")
    return folder
