"""Everything here needs an NVIDIA GPU: `python -m pytest tests/gpu`, on a machine that has one."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def on_a_gpu(request: pytest.FixtureRequest) -> None:
    """Skip what needs a GPU where there is none, and give its memory back between tests."""
    if request.node.get_closest_marker("gpu"):
        if not torch.cuda.is_available():
            pytest.skip("there is no NVIDIA GPU that torch can use")
        torch.cuda.empty_cache()
