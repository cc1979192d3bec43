"""Tiny models for the engine's tests."""

from __future__ import annotations

from stretto.host.testing.fixtures import (
    starter_path,
    tiny_inpainter,
    tiny_refiner,
    tiny_sd1,
    tiny_sd2,
    tiny_sdxl,
)

__all__ = ["starter_path", "tiny_inpainter", "tiny_refiner", "tiny_sd1", "tiny_sd2", "tiny_sdxl"]
