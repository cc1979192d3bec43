"""What bounds a builder's memory: all that it and its processes take."""

from __future__ import annotations

import pytest
from stretto.host import EngineBuildError
from stretto.plugins.compilers.supervising import supervised

HUNGRY = "tests.plugins.compilers.hungry_child"


def silent(phase: str, share: float | None) -> None:
    pass


def test_what_a_builders_own_processes_take_counts() -> None:
    with pytest.raises(EngineBuildError, match=r"needs more than the 0\.2 GB of memory that it may take"):
        supervised(HUNGRY, {"bytes": 300_000_000}, silent, limit_bytes=200_000_000)


def test_a_builder_that_somebody_killed_is_not_said_to_have_passed_its_bound() -> None:
    with pytest.raises(
        EngineBuildError, match="builder was killed, as the kernel does where memory runs out; build on"
    ):
        supervised(HUNGRY, {"killed": True}, silent, limit_bytes=200_000_000)
