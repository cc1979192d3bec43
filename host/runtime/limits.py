"""How much memory the process that draws may take: its allocations fail beyond it, instead of the machine.

Where nothing fails, Linux ends the process that asked for too much, and nobody can say why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["limited", "usable_ram_bytes"]

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def usable_ram_bytes() -> int:
    """Give the machine's RAM, or less where a control group bounds it."""
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:  # not Linux, or no control groups
        limit = "max"
    return min(total, int(limit)) if limit.isdecimal() else total


@contextmanager
def limited(limit_bytes: int | None, device: str) -> Iterator[int | None]:
    """Bound what this process takes on its device meanwhile, and give the bound; None where there is none.

    On CUDA it is a share of the card, only if it is asked for. On Linux' CPU it is all writable memory
    of the process (RLIMIT_DATA, setrlimit(2)), and all usable RAM if nothing is asked for.
    """
    if device.startswith("cuda"):
        yield _limit_card(limit_bytes, device)
        return
    try:
        from resource import RLIMIT_DATA, getrlimit, setrlimit
    except ImportError:  # Windows
        yield None
        return
    soft, hard = getrlimit(RLIMIT_DATA)
    wanted = usable_ram_bytes() if limit_bytes is None else limit_bytes
    bound = min([wanted, *(limit for limit in (soft, hard) if limit >= 0)])  # -1 is no limit
    setrlimit(RLIMIT_DATA, (bound, hard))
    try:
        yield bound
    finally:
        setrlimit(RLIMIT_DATA, (soft, hard))


def _limit_card(limit_bytes: int | None, device: str) -> int | None:
    if limit_bytes is None:
        return None
    import torch

    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total), device)
    return min(limit_bytes, total)
