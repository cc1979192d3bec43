"""Everything here needs an NVIDIA GPU: `make test-gpu`, on a machine that has one.

`GPU_TESTS_DEVICE=cpu` runs the bodies of most tests on narrow networks without one.
"""

from __future__ import annotations

import os

import pytest
import torch

DEVICE = os.environ.get("GPU_TESTS_DEVICE", "cuda")


@pytest.fixture(scope="session")
def device() -> str:
    """Give where networks compute: `cuda`, or what the environment says."""
    return DEVICE


@pytest.fixture(autouse=True)
def on_a_gpu(request: pytest.FixtureRequest) -> None:
    """Skip what needs a GPU where there is none, and give its memory back between tests."""
    if request.node.get_closest_marker("gpu") and DEVICE == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("there is no NVIDIA GPU that torch can use")
        torch.cuda.empty_cache()
