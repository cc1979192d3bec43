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
