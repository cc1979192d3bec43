from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stretto.host.runtime.limits import limited, usable_ram_bytes
from stretto.host.runtime.machine import Machine
from stretto.host.settings import Folders, Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="allocations fail at a limit on Linux alone")
LARGE = 3 * 2**30


def taken_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData")).split()[1]) * 1024


def soft_limit() -> int:
    from resource import RLIMIT_DATA, getrlimit

    return getrlimit(RLIMIT_DATA)[0]


def test_allocations_beyond_the_setting_fail_and_others_do_not() -> None:
    before = soft_limit()
    host: Any = SimpleNamespace(
        settings=Settings(memory_limit_bytes=taken_bytes() + LARGE // 2),
        folders=Folders(Path("/nowhere")),
        publish=lambda _event: None,
        offers=lambda _kind: {},
    )
    with Machine.open(host) as machine:
        assert machine.bound_bytes == host.settings.memory_limit_bytes
        torch.empty(LARGE // 8, dtype=torch.uint8)
        with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
            torch.empty(LARGE, dtype=torch.uint8)
    assert soft_limit() == before


def test_without_a_setting_it_is_the_usable_ram() -> None:
    with limited(None, "cpu") as bound:
        assert bound is not None
        assert bound <= usable_ram_bytes()


def test_a_lower_limit_that_is_there_already_stays() -> None:
    with limited(taken_bytes() + LARGE, "cpu") as lower, limited(taken_bytes() + 2 * LARGE, "cpu") as inner:
        assert inner == lower
