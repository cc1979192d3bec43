"""What `make networks` fetched, for tests alone: packages to import, and weights to read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FETCHED = Path(__file__).parents[2] / ".cache" / "networks"
if FETCHED.is_dir():
    sys.path.append(str(FETCHED))  # last: it never stands before what is installed


@pytest.fixture(scope="session")
def fetched() -> Path:
    """Give the folder of what was fetched, or skip."""
    if not FETCHED.is_dir():
        pytest.skip("there are no networks for tests; `make networks` fetches them")
    return FETCHED


@pytest.fixture(autouse=True)
def slow_only_by_hand(request: pytest.FixtureRequest) -> None:
    """Skip what is marked slow unless it is asked for."""
    if request.node.get_closest_marker("slow") and "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes or gigabytes; run with -m slow")
